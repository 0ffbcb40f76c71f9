import Foundation
import LinuxHost
import Observability
import ProgramSupport

@testable import ObservabilityClient

/// Parses any bytes as an HTTP response. In pieces they must mean what they mean as a whole.
func fuzzHTTPResponse(_ input: [UInt8]) {
    var script = Script(input)
    let pieceLength = Int(script.byte() & 15) + 1
    let bytes = script.remainder()
    let whole = parsed([bytes[...]])
    let pieces = stride(from: 0, to: bytes.count, by: pieceLength).map {
        bytes[$0..<min(bytes.count, $0 + pieceLength)]
    }
    let inPieces = parsed(pieces)
    precondition(whole == inPieces, "\(whole) as a whole, \(inPieces) in pieces")
    precondition(whole.body.count <= bytes.count, "a body that is longer than the response")
}

private struct ParsedResponse: Equatable {
    var body: [UInt8] = []
    var status: Int?
    var exitCode: Int32?
    var isComplete = false
    var endsWithConnection = false
    var problem: HTTPResponseReader.Malformed?
}

private func parsed(_ pieces: [ArraySlice<UInt8>]) -> ParsedResponse {
    var reader = HTTPResponseReader()
    var result = ParsedResponse()
    for piece in pieces where result.problem == nil {
        do throws(HTTPResponseReader.Malformed) {
            try reader.parse(piece, into: &result.body)
        } catch {
            result.problem = error
        }
    }
    result.status = reader.status
    result.exitCode = reader.exitCode
    result.isComplete = reader.isComplete
    result.endsWithConnection = reader.endsWithConnection
    return result
}

/// Decodes a sample with other numbers, or any text, as statistics, and displays them as `stats`, `top` and the metrics
/// do.
func fuzzStatistics(_ input: [UInt8]) {
    var script = Script(input)
    let shape = script.byte()
    let decoder = JSONDecoder()
    let data = Data(
        shape & 8 == 0 ? Array(Sample.statistics.text(&script).utf8) : script.remainder())
    _ = try? decoder.decode([SnapshotStatus].self, from: data)
    _ = try? decoder.decode(SaveStats.self, from: data)
    guard let stats = try? decoder.decode(Stats.self, from: data) else { return }
    for width in [nil, 40] { _ = StatsText(stats, device: "/dev/nbd0", width: width).text }
    var earlier = stats
    earlier.server.monotonicNanoseconds /= 2
    earlier.connections = Array(earlier.connections.dropLast(Int(shape & 1)))
    if shape & 2 != 0 {
        earlier.server.activity = Activity()
        earlier.disks = []
    }
    var model = TopModel()
    for _ in 0..<shape >> 4 & 3 { model.nextOrder() }
    for _ in 0..<shape >> 6 & 3 { model.nextDisk() }
    for sample in [earlier, stats] {
        model.add(sample)
        let size = Terminal.Size(columns: Int(shape), rows: 24)
        for line in TopScreen(model: model, size: size, interval: 1).lines {
            _ = line.text(coloured: true)
        }
    }
    precondition((try? JSONEncoder().encode(stats)) != nil, "statistics cannot be encoded again")
}

/// Decodes a sample with other numbers, or any lines, as a trace, and writes it in every format, with a summary.
func fuzzTrace(_ input: [UInt8]) {
    var script = Script(input)
    let shape = script.byte()
    let pieceLength = Int(shape) + 1
    let bytes = shape & 8 == 0 ? Array(Sample.trace.text(&script).utf8) : script.remainder()
    var reader = TraceReader()
    var formats: [any TraceFormat] = [
        TraceText(isColoured: true), TraceText(), ChromeTrace(), FioLog(hasTimes: true),
        FioLog(hasTimes: false),
    ]
    var summary = TraceSummary(disks: [("", 1 << 20), ("disk", .max), ("none", 0)])
    for start in stride(from: 0, to: bytes.count, by: pieceLength) {
        let piece = Array(bytes[start..<min(bytes.count, start + pieceLength)])
        let isGood =
            (try? reader.parse(piece) { _, line in
                for index in formats.indices { write(line, &formats[index]) }
                switch line {
                case .request(let event): summary.add(event)
                case .status(let status), .end(let status):
                    summary.addDropped(status.droppedRequests)
                case .start: break
                }
            }) != nil
        guard isGood else { break }
    }
    for index in formats.indices { _ = formats[index].end() }
    for line in SummaryText(summary: summary, width: Int(shape)).lines {
        _ = line.text(coloured: true)
    }
}

private func write(_ line: TraceLine, _ format: inout any TraceFormat) {
    switch line {
    case .start(let start): _ = format.begin(start)
    case .request(let event): _ = format.request(event)
    case .status(let status), .end(let status):
        _ = format.lost(status.droppedRequests, at: status.timeNanoseconds)
    }
}
