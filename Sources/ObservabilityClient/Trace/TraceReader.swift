internal import ProgramSupport
package import Observability
internal import FoundationEssentials

/// Puts pieces of a stream together to lines.
package struct TraceReader {

    package init() {
    }
    /// Longest line that is one.
    package static let lineLimit = 1 << 20

    private var rest: [UInt8] = []
    private let decoder = JSONDecoder()

    /// The lines that are complete with this piece, as they came and as what they say.
    package mutating func take(
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
            throw Failure.protocolError("the trace has a line of over \(Self.lineLimit) bytes")
        }
    }

    private func decode(_ text: ArraySlice<UInt8>) throws(Failure) -> TraceLine {
        do {
            return try decoder.decode(TraceLine.self, from: Data(text))
        } catch {
            throw .protocolError(
                "the trace has a line that says nothing: "
                    + String(decoding: text.prefix(200), as: UTF8.self))
        }
    }
}
