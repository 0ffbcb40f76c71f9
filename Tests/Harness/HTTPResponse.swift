internal import Foundation

/// An HTTP response.
public struct HTTPResponse: Sendable {
    /// 200 and so on.
    public let status: Int
    /// The headers, by their names in lower case.
    public let headers: [String: String]
    /// The body.
    public let body: [UInt8]

    /// The body as text.
    public var text: String { String(decoding: body, as: UTF8.self) }

    /// The body as JSON.
    public func json<Value: Decodable>(_: Value.Type) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(body))
    }
}

extension RawClient {
    /// Sends a request and returns its response, which must have a length.
    public func ask(_ target: String, method: String = "GET") throws -> HTTPResponse {
        try send(Array("\(method) \(target) HTTP/1.1\r\nHost: test\r\n\r\n".utf8))
        let head = try receiveHead()
        guard let length = head.headers["content-length"].flatMap({ Int($0) }) else {
            throw TestError("the response to \(target) has no length")
        }
        return HTTPResponse(status: head.status, headers: head.headers, body: try receive(length))
    }

    /// Receives the head of the next response.
    public func receiveHead() throws -> HTTPResponse {
        var bytes: [UInt8] = []
        while !bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) { bytes += try receive(1) }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let sides = line.split(separator: ":", maxSplits: 1)
            headers[sides[0].lowercased()] = sides[1].trimmingCharacters(in: .whitespaces)
        }
        let status = lines.first?.split(separator: " ").dropFirst().first
        return HTTPResponse(status: status.flatMap { Int($0) } ?? 0, headers: headers, body: [])
    }
}

extension ServerProcess {
    /// The default path of its control socket.
    public var controlPath: String { directory.file("ramdisk-nbd/\(pid).control") }

    /// Requests a resource from its control socket.
    public func ask(_ target: String) throws -> HTTPResponse {
        try RawClient(unix: controlPath).ask(target)
    }
}
