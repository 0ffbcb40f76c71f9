/// A parser of one HTTP/1.1 response (RFC 9112) that arrives in pieces of any size. It implements
/// what the response to one request on its own connection can contain.
///
/// It is written here, although the server uses NIO, because a client command is short-lived and
/// reads one response or one stream in a blocking loop. NIO would make it start an event loop and
/// its thread, and pass each piece of a trace between threads.
struct HTTPResponseReader {
    /// A response that is not valid.
    struct Malformed: Error, Equatable {
        /// The problem, as a clause.
        let reason: String
    }

    /// Maximum length in bytes of a line of the head, or between chunks.
    static let headLimit = 64 << 10

    /// The status, such as 200; nil until the status line is parsed.
    private(set) var status: Int?
    /// The exit code that the server wants of the client, as in sysexits.h; nil when it names none.
    private(set) var exitCode: Int32?
    /// Whether the response is complete. Never true for a response without a length, which ends
    /// when the server closes the connection.
    private(set) var isComplete = false
    /// Whether the response ends when the server closes the connection.
    private(set) var endsWithConnection = false

    /// The part of the response that the next bytes belong to.
    private enum Part {
        case statusLine, headers
        case body(remaining: Int)
        case bodyToEnd
        case chunkSize
        case chunk(remaining: Int)
        case chunkEnd, trailers
    }
    private var part = Part.statusLine
    private var line: [UInt8] = []
    private var length: Int?
    private var isChunked = false

    /// Parses the next bytes, and appends those of the body to `body`. Ignores bytes after the end
    /// of the response.
    mutating func parse(_ bytes: ArraySlice<UInt8>, into body: inout [UInt8])
        throws(Malformed)
    {
        var rest = bytes
        while !rest.isEmpty, !isComplete {
            switch part {
            case .body(let remaining):
                let count = move(&rest, upTo: remaining, to: &body)
                part = .body(remaining: remaining - count)
                isComplete = remaining == count
            case .bodyToEnd:
                _ = move(&rest, upTo: rest.count, to: &body)
            case .chunk(let remaining):
                let count = move(&rest, upTo: remaining, to: &body)
                part = remaining == count ? .chunkEnd : .chunk(remaining: remaining - count)
            default:
                try parseLine(&rest)
            }
        }
    }

    private func move(_ rest: inout ArraySlice<UInt8>, upTo most: Int, to body: inout [UInt8])
        -> Int
    {
        let piece = rest.prefix(most)
        body += piece
        rest = rest.dropFirst(piece.count)
        return piece.count
    }

    private mutating func parseLine(_ rest: inout ArraySlice<UInt8>) throws(Malformed) {
        guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else {
            line += rest
            rest = rest.suffix(0)
            guard line.count <= Self.headLimit else {
                throw Malformed(reason: "a line is longer than \(Self.headLimit) bytes")
            }
            return
        }
        line += rest[..<end]
        rest = rest[(end + 1)...]
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        let text = String(decoding: line, as: UTF8.self)
        line.removeAll(keepingCapacity: true)
        try parseLine(text)
    }

    private mutating func parseLine(_ text: String) throws(Malformed) {
        switch part {
        case .statusLine:
            let words = text.split(separator: " ", maxSplits: 2)
            guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
                throw Malformed(reason: "it has no status line")
            }
            self.status = status
            part = .headers
        case .headers where text.isEmpty:
            endHead()
        case .headers:
            try parseHeader(text)
        case .chunkSize:
            let digits = text.prefix { $0 != ";" && $0 != " " }
            guard let size = Int(digits, radix: 16), size >= 0 else {
                throw Malformed(reason: "\"\(digits)\" is not a size of a chunk")
            }
            part = size == 0 ? .trailers : .chunk(remaining: size)
        case .chunkEnd:
            guard text.isEmpty else { throw Malformed(reason: "a chunk is longer than its size") }
            part = .chunkSize
        default:
            // An empty line ends the trailers, and with them the response.
            isComplete = text.isEmpty
        }
    }

    private mutating func parseHeader(_ text: String) throws(Malformed) {
        guard let colon = text.firstIndex(of: ":") else {
            throw Malformed(reason: "a header field has no colon")
        }
        let name = text[..<colon].lowercased()
        let value = text[text.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
        if name == "content-length" {
            guard let length = Int(value), length >= 0 else {
                throw Malformed(reason: "\"\(value)\" is not a Content-Length")
            }
            self.length = length
        } else if name == "transfer-encoding" {
            isChunked = value.lowercased().hasSuffix("chunked")
        } else if name == "exit-code" {
            exitCode = Int32(value).flatMap { (1...255).contains($0) ? $0 : nil }
        }
    }

    private mutating func endHead() {
        if isChunked {
            part = .chunkSize
        } else if let length {
            part = .body(remaining: length)
            isComplete = length == 0
        } else {
            part = .bodyToEnd
            endsWithConnection = true
        }
    }
}
