import Harness

/// A connection whose replies nobody reads.
struct StuckClient {
    private let client: RawClient

    /// Requests in flight, and what each asks for, in bytes: together far more than a socket holds.
    static let requestCount = 8
    static let requestLength = 4 << 20

    /// Connects, and comes back when the server is sending.
    init(_ server: ServerProcess) async throws {
        client = try RawClient(unix: server.socketPath)
        try client.enter()
        let length = UInt32(Self.requestLength)
        let requests = (0..<Self.requestCount).map {
            RawClient.request(.read, cookie: UInt64($0), length: length)
        }
        try client.send(requests.flatMap { $0 })
        // The first bytes: the server has the requests. The rest stays where it is.
        let first = try client.receiveReply()
        guard first == .init(error: 0, cookie: 0) else { throw TestError("the first read failed") }
    }

    /// Sends more requests, which the server does not look at while it is sending.
    func ask(_ requests: [UInt8]) throws { try client.send(requests) }

    /// Reads what was not read: the rest of the first reply, and the others.
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
