internal import ProgramSupport
internal import Observability
internal import FoundationEssentials

/// A decoder of the lines of a trace, which arrive in pieces of any size.
struct TraceReader {
    /// Maximum length of a line in bytes.
    static let lineLimit = 1 << 20

    private var rest: [UInt8] = []
    private let decoder = JSONDecoder()

    /// Calls `line` for each line that this piece completes, with its bytes and its decoded value.
    mutating func parse(
        _ piece: [UInt8], line: (_ text: ArraySlice<UInt8>, TraceLine) throws -> Void
    ) throws {
        rest += piece
        var start = 0
        while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
            let text = rest[start..<end]
            start = end + 1
            guard !text.isEmpty else { continue }
            try line(text, try decode(text))
        }
        rest.removeFirst(start)
        guard rest.count <= Self.lineLimit else {
            throw Failure.protocolError("the trace has a line of more than \(Self.lineLimit) bytes")
        }
    }

    private func decode(_ text: ArraySlice<UInt8>) throws(Failure) -> TraceLine {
        do {
            return try decoder.decode(TraceLine.self, from: Data(text))
        } catch {
            throw .protocolError(
                "cannot decode a line of the trace; check that server and client have the same "
                    + "version: "
                    + String(decoding: text.prefix(200), as: UTF8.self))
        }
    }
}
