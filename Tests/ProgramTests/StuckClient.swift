import Harness

/// A connection whose client does not read its replies.
struct StuckClient {
    private let client: RawClient

    /// The number of requests in flight, and the bytes that each reads: together far more than a socket holds.
    static let requestCount = 8
    static let requestLength = 4 << 20

    /// Connects, and returns when the server is sending.
    init(_ server: ServerProcess) async throws {
        client = try RawClient(unix: server.socketPath)
        try client.enter()
        let length = UInt32(Self.requestLength)
        let requests = (0..<Self.requestCount).map {
            RawClient.request(.read, cookie: UInt64($0), length: length)
        }
        try client.send(requests.flatMap { $0 })
        // The first bytes show that the server has the requests. The rest stays in the socket.
        let first = try client.receiveReply()
        guard first == .init(error: 0, cookie: 0) else { throw TestError("the first read failed") }
    }

    /// Sends more requests, which the server does not receive while it is sending.
    func ask(_ requests: [UInt8]) throws { try client.send(requests) }

    /// Reads the rest of the first reply, and all others.
    func catchUp() throws -> RawClient {
        _ = try client.receive(Self.requestLength)
        for cookie in 1..<Self.requestCount {
            let reply = try client.receiveReply()
            guard reply == .init(error: 0, cookie: UInt64(cookie)) else {
                throw TestError(
                    "a read that was received before the stop was not finished: \(reply)")
            }
            _ = try client.receive(Self.requestLength)
        }
        return client
    }

    /// Keeps the connection open until here.
    func leave() {}
}
