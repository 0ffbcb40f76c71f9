/// Reads one HTTP/1.1 response out of bytes in pieces of any size: RFC 9112, as much of it as one
/// request on a connection of its own can meet.
package struct HTTPResponseReader {
    /// What makes a response none.
    package struct Malformed: Error, Equatable {
        /// What was wrong with it, for a sentence.
        package let reason: String
    }

    /// Most bytes of a head, or of one line between chunks.
    package static let headLimit = 64 << 10

    /// The status, such as 200; nil while its line has not come.
    package private(set) var status: Int?
    /// Whether the response is complete. Without a length it never is: it ends with the connection.
    package private(set) var isComplete = false
    /// Whether the end of the connection is the end of the response.
    package private(set) var endsWithConnection = false

    package init(status: Int? = nil, isComplete: Bool = false, endsWithConnection: Bool = false) {
        self.status = status
        self.isComplete = isComplete
        self.endsWithConnection = endsWithConnection
    }

    /// What the next bytes belong to.
    private enum Part {
        case statusLine, headers
        case body(left: Int)
        case bodyToEnd
        case chunkSize
        case chunk(left: Int)
        case chunkEnd, trailers
    }
    private var part = Part.statusLine
    private var line: [UInt8] = []
    private var length: Int?
    private var isChunked = false

    /// Takes the next bytes, and puts those of the body to `body`. What comes after the response is
    /// left alone.
    package mutating func take(_ bytes: ArraySlice<UInt8>, into body: inout [UInt8])
        throws(Malformed)
    {
        var rest = bytes
        while !rest.isEmpty, !isComplete {
            switch part {
            case .body(let left):
                let count = move(&rest, at: left, to: &body)
                part = .body(left: left - count)
                isComplete = left == count
            case .bodyToEnd:
                _ = move(&rest, at: rest.count, to: &body)
            case .chunk(let left):
                let count = move(&rest, at: left, to: &body)
                part = left == count ? .chunkEnd : .chunk(left: left - count)
            default:
                try takeLine(&rest)
            }
        }
    }

    private func move(_ rest: inout ArraySlice<UInt8>, at most: Int, to body: inout [UInt8]) -> Int
    {
        let piece = rest.prefix(most)
        body += piece
        rest = rest.dropFirst(piece.count)
        return piece.count
    }

    private mutating func takeLine(_ rest: inout ArraySlice<UInt8>) throws(Malformed) {
        guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else {
            line += rest
            rest = rest.suffix(0)
            guard line.count <= Self.headLimit else {
                throw Malformed(reason: "a line is too long")
            }
            return
        }
        line += rest[..<end]
        rest = rest[(end + 1)...]
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        let text = String(decoding: line, as: UTF8.self)
        line.removeAll(keepingCapacity: true)
        try takeLine(text)
    }

    private mutating func takeLine(_ text: String) throws(Malformed) {
        switch part {
        case .statusLine:
            let words = text.split(separator: " ", maxSplits: 2)
            guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
                throw Malformed(reason: "it does not begin as one")
            }
            self.status = status
            part = .headers
        case .headers where text.isEmpty:
            endHead()
        case .headers:
            try takeHeader(text)
        case .chunkSize:
            let digits = text.prefix { $0 != ";" && $0 != " " }
            guard let size = Int(digits, radix: 16), size >= 0 else {
                throw Malformed(reason: "a chunk has the size \"\(digits)\"")
            }
            part = size == 0 ? .trailers : .chunk(left: size)
        case .chunkEnd:
            guard text.isEmpty else { throw Malformed(reason: "a chunk is too long") }
            part = .chunkSize
        default:
            // Trailers: an empty line ends them, and the response.
            isComplete = text.isEmpty
        }
    }

    private mutating func takeHeader(_ text: String) throws(Malformed) {
        guard let colon = text.firstIndex(of: ":") else {
            throw Malformed(reason: "a header has no colon")
        }
        let name = text[..<colon].lowercased()
        let value = text[text.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
        if name == "content-length" {
            guard let length = Int(value), length >= 0 else {
                throw Malformed(reason: "its length is \"\(value)\"")
            }
            self.length = length
        } else if name == "transfer-encoding" {
            isChunked = value.lowercased().hasSuffix("chunked")
        }
    }

    private mutating func endHead() {
        if isChunked {
            part = .chunkSize
        } else if let length {
            part = .body(left: length)
            isComplete = length == 0
        } else {
            part = .bodyToEnd
            endsWithConnection = true
        }
    }
}
