internal import Foundation

/// An answer over HTTP.
public struct WebAnswer: Sendable {
    /// 200 and so on.
    public let status: Int
    /// The headers, by their names in lower case.
    public let headers: [String: String]
    /// What follows them.
    public let body: [UInt8]

    /// The body as text.
    public var text: String { String(decoding: body, as: UTF8.self) }

    /// The body as JSON.
    public func json<Value: Decodable>(_: Value.Type) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(body))
    }
}

extension RawClient {
    /// Sends a request and takes its answer, which has to have a length.
    public func ask(_ target: String, method: String = "GET") throws -> WebAnswer {
        try send(Array("\(method) \(target) HTTP/1.1\r\nHost: test\r\n\r\n".utf8))
        let head = try receiveHead()
        guard let length = head.headers["content-length"].flatMap({ Int($0) }) else {
            throw TestError("\(target) is answered without a length")
        }
        return WebAnswer(status: head.status, headers: head.headers, body: try receive(length))
    }

    /// The next answer without its body.
    public func receiveHead() throws -> WebAnswer {
        var bytes: [UInt8] = []
        while !bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) { bytes += try receive(1) }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let sides = line.split(separator: ":", maxSplits: 1)
            headers[sides[0].lowercased()] = sides[1].trimmingCharacters(in: .whitespaces)
        }
        let status = lines.first?.split(separator: " ").dropFirst().first
        return WebAnswer(status: status.flatMap { Int($0) } ?? 0, headers: headers, body: [])
    }
}

extension ServerProcess {
    /// Where its control socket is, unless it was told another place.
    public var controlPath: String { directory.file("ramdisk-nbd/\(pid).control") }

    /// Asks it about itself.
    public func ask(_ target: String) throws -> WebAnswer {
        try RawClient(unix: controlPath).ask(target)
    }
}
