internal import LinuxIO
internal import NBDServer
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import SystemPackage

/// Serves the HTTP requests that arrive on one connection.
struct HTTPConnection: Sendable {
    let monitored: MonitoredServer
    let isMetricsOnly: Bool

    private typealias Client = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>
    private typealias Output = NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>

    /// Time without a request after which the connection is closed.
    private static let idleTimeout = TimeAmount.seconds(30)
    private static let idleHandlerName = "idle"

    /// Takes ownership of a connected socket and serves it until either side closes the connection.
    func run(_ socket: consuming StreamSocket, on loop: any EventLoop) async {
        let descriptor = socket.release()
        do {
            let client = try await ClientBootstrap(group: loop).withConnectedSocket(descriptor) {
                channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline()
                    try pipeline.addHandler(
                        IdleStateHandler(readTimeout: Self.idleTimeout), name: Self.idleHandlerName)
                    try pipeline.addHandler(CloseWhenIdle())
                    return try Client(wrappingChannelSynchronously: channel)
                }
            }
            try await client.executeThenClose { requests, output in
                var latest: HTTPRequestHead?
                for try await part in requests {
                    if case .head(let head) = part { latest = head }
                    // A request that turns out to be malformed behind its head must not be performed.
                    guard case .end = part, let head = latest else { continue }
                    let isStream = try await respond(to: head, client.channel, output)
                    // Do not close after a stream: closing discards data that the client has not received. The client
                    // sees the end of the stream and closes.
                    if !head.isKeepAlive, !isStream { break }
                }
            }
        } catch {
            // The client sent something that is not HTTP, or closed the connection. Neither
            // concerns the server, so the error is dropped with the connection.
        }
    }

    /// Responds to a request. Returns whether the response is a stream.
    private func respond(
        to head: HTTPRequestHead, _ channel: any Channel, _ output: Output
    ) async throws -> Bool {
        let response = ControlResponse(to: head, from: monitored, isMetricsOnly: isMetricsOnly)
        switch response.body {
        case .text(let text): try await send(text, response, head, output)
        case .command(let command, let commands):
            // The client waits for as long as the command takes.
            return try await withoutTimeout(channel) {
                let result = await Self.perform(command, commands)
                switch result.body {
                case .text(let text): try await send(text, result, head, output)
                case .pieces(let next):
                    try await send({ next() }, result, head, output)
                    return true
                case .command, .trace: break
                }
                return false
            }
        case .trace(let selection):
            guard let follower = monitored.server.trace() else {
                let failure = ControlResponse.error(
                    .serviceUnavailable,
                    "too many clients are reading traces, or the server runs with --no-stats")
                guard case .text(let text) = failure.body else { return false }
                try await send(text, failure, head, output)
                return false
            }
            var stream = TraceStream(follower, selection)
            // The reader of a trace sends nothing while the trace runs, which may be for hours.
            return try await withoutTimeout(channel) {
                try await send({ try await stream.next() }, response, head, output)
                return true
            }
        case .pieces: break
        }
        return false
    }

    /// Runs a function that may take longer than the idle timeout.
    private func withoutTimeout(
        _ channel: any Channel, _ body: () async throws -> Bool
    ) async throws -> Bool {
        try await channel.pipeline.removeHandler(name: Self.idleHandlerName)
        let result = try await body()
        try await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.addHandler(
                IdleStateHandler(readTimeout: Self.idleTimeout), name: Self.idleHandlerName,
                position: .first)
        }.get()
        return result
    }

    /// Performs a command on a thread of its own: the tasks' threads are few.
    private static func perform(
        _ command: ControlCommand, _ commands: any ControlCommands
    ) async -> ControlResponse {
        await withCheckedContinuation { continuation in
            do throws(Errno) {
                try Thread(name: "command") {
                    continuation.resume(returning: .result(of: command, commands))
                }.detach()
            } catch {
                continuation.resume(
                    returning: .error(
                        .internalServerError, "cannot start a thread for the command: \(error)"))
            }
        }
    }

    private func send(
        _ text: String, _ response: ControlResponse, _ head: HTTPRequestHead, _ output: Output
    ) async throws {
        try await output.write(
            .head(responseHead(response, head, ("content-length", "\(text.utf8.count)"))))
        try await output.write(.body(.byteBuffer(ByteBuffer(string: text))))
        try await output.write(.end(nil))
    }

    /// Writes one piece after another. Each write suspends until the socket has accepted the
    /// earlier ones, so a slow client slows the stream down and does not fill memory.
    private func send(
        _ next: () async throws -> [UInt8]?, _ response: ControlResponse, _ head: HTTPRequestHead,
        _ output: Output
    ) async throws {
        try await output.write(
            .head(responseHead(response, head, ("transfer-encoding", "chunked"))))
        while let piece = try await next() {
            try await output.write(.body(.byteBuffer(ByteBuffer(bytes: piece))))
        }
        try await output.write(.end(nil))
    }

    private func responseHead(
        _ response: ControlResponse, _ head: HTTPRequestHead, _ header: (String, String)
    ) -> HTTPResponseHead {
        var result = HTTPResponseHead(version: .http1_1, status: response.status)
        result.headers.add(name: "content-type", value: response.contentType)
        result.headers.add(name: header.0, value: header.1)
        if let code = response.exitCode {
            result.headers.add(name: "exit-code", value: "\(code)")
        }
        if response.status == .methodNotAllowed { result.headers.add(name: "allow", value: "GET") }
        if !head.isKeepAlive { result.headers.add(name: "connection", value: "close") }
        return result
    }
}

/// Closes a connection on which no request has arrived within the idle timeout.
private final class CloseWhenIdle: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }
}
