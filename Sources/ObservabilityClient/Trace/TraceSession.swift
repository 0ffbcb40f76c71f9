package import Observability
package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// The output of a trace, and its format.
package struct TraceConfiguration: Sendable {
    /// The file for the requests, or "-" for standard output; nil for a summary alone.
    var path: String?
    var format: TraceFileFormat
    /// The disks of the summary; nil for no summary.
    var summary: [DiskStats]?
    /// Whether text on standard output has colour codes.
    var isColoured: Bool
    /// Maximum number of characters in a line of the summary.
    var width: Int

    package init(
        path: String? = nil, format: TraceFileFormat, summary: [DiskStats]? = nil, isColoured: Bool,
        width: Int
    ) {
        self.path = path
        self.format = format
        self.summary = summary
        self.isColoured = isColoured
        self.width = width
    }
}

/// One trace, from its first line to its last. Only one thread may use it.
package struct TraceSession: ~Copyable {
    private let configuration: TraceConfiguration
    private let output: OutputFile
    private var format: any TraceFormat
    private var summary: TraceSummary?
    private var requestCount: UInt64 = 0
    private var dropped: UInt64 = 0
    private var lastNanoseconds: UInt64 = 0

    /// Creates the file.
    package init(_ configuration: TraceConfiguration) throws(Failure) {
        self.configuration = configuration
        let path = configuration.path ?? "-"
        do throws(Errno) {
            output = try path == "-" ? OutputFile(standardOutput: ()) : OutputFile(creating: path)
        } catch {
            throw .cannotCreate("cannot open \(path) to write the trace: \(error)")
        }
        format =
            switch configuration.format {
            case .iolog: FioLog(hasTimes: true)
            case .iolog2: FioLog(hasTimes: false)
            case .chrome: ChromeTrace()
            case .json, .text: TraceText(isColoured: configuration.isColoured && path == "-")
            }
        if let disks = configuration.summary {
            summary = TraceSummary(disks: disks.map { ($0.export, $0.sizeBytes) })
        }
    }

    /// Reads the stream until the server ends it or another thread stops it, then writes the end of
    /// the file and the summary. Writes everything that has arrived, also when the server has
    /// disappeared.
    package consuming func run(_ stream: ControlStream) throws {
        defer { stream.stop() }
        do {
            var reader = TraceReader()
            while let piece = try stream.nextPiece() {
                var text: [UInt8] = []
                try reader.parse(piece) { raw, line in
                    text += convert(line, raw)
                }
                try write(text)
            }
        } catch is OutputClosed {
            return
        } catch let failure as Failure where failure.kind == .unavailable {
            // The server has disappeared. What it sent are whole lines, so the file can be
            // completed.
            try? finish()
            throw failure
        }
        do {
            try finish()
        } catch is OutputClosed {}
    }

    /// The reader of standard output has closed it, as `head` does when it has enough lines.
    private struct OutputClosed: Error {}

    private mutating func convert(_ line: TraceLine, _ raw: ArraySlice<UInt8>) -> [UInt8] {
        var text = ""
        switch line {
        case .start(let start):
            text = format.begin(start)
        case .request(let event):
            requestCount += 1
            lastNanoseconds = max(lastNanoseconds, event.timeNanoseconds)
            summary?.add(event)
            // Lines of JSON are written unchanged.
            if configuration.path != nil, configuration.format != .json {
                text = format.request(event)
            }
        case .status(let status), .end(let status):
            let lost = status.droppedRequests - min(dropped, status.droppedRequests)
            dropped += lost
            summary?.addDropped(lost)
            if lost > 0 {
                text = format.lost(lost, at: max(lastNanoseconds, status.timeNanoseconds))
            }
        }
        guard configuration.path != nil else { return [] }
        return configuration.format == .json ? raw + [UInt8(ascii: "\n")] : Array(text.utf8)
    }

    private func write(_ bytes: [UInt8]) throws {
        guard !bytes.isEmpty else { return }
        do throws(Errno) {
            try output.write(bytes)
        } catch {
            if error == .brokenPipe { throw OutputClosed() }
            throw Failure.inputOutput(
                "cannot write the trace to \(configuration.path ?? "-"), which is incomplete after "
                    + "\(requestCount) requests: \(error)")
        }
    }

    private mutating func finish() throws {
        if configuration.path != nil, configuration.format != .json {
            try write(Array(format.end().utf8))
        }
        if let summary {
            let lines = SummaryText(summary: summary, width: configuration.width).lines
            let text = lines.map { $0.text(coloured: configuration.isColoured) + "\n" }.joined()
            standardOutput(text)
        }
        reportCounts()
    }

    /// Reports on standard error, which is separate from the trace, how many requests were written,
    /// omitted and lost.
    private func reportCounts() {
        if let path = configuration.path, path != "-" {
            StandardError.say("\(requestCount) requests written to \(path)")
        }
        if format.omitted > 0 {
            StandardError.say(
                "\(format.omitted) of them are omitted: fio has no action for them, or they failed"
            )
        }
        if dropped > 0 {
            StandardError.say(
                "\(dropped) requests were lost: they arrived faster than they could be read")
        }
    }
}
