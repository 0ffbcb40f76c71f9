internal import LinuxIO
internal import NBDServer
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Answers the requests of one client.
struct ControlConversation: Sendable {
    let watched: MonitoredServer
    let isMetricsOnly: Bool

    private typealias Client = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>
    private typealias Output = NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>

    /// A client that asks nothing for so long is let go.
    private static let patience = TimeAmount.seconds(30)
    private static let patienceName = "patience"

    /// Takes a connected socket over, and answers until its client is done or gone.
    func run(_ socket: consuming StreamSocket, on loop: any EventLoop) async {
        let number = socket.release()
        do {
            let client = try await ClientBootstrap(group: loop).withConnectedSocket(number) {
                channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline()
                    try pipeline.addHandler(
                        IdleStateHandler(readTimeout: Self.patience), name: Self.patienceName)
                    try pipeline.addHandler(CloseWhenIdle())
                    return try Client(wrappingChannelSynchronously: channel)
                }
            }
            try await client.executeThenClose { requests, output in
                for try await part in requests {
                    guard case .head(let head) = part else { continue }
                    try await answer(head, client.channel, output)
                    if !head.isKeepAlive { break }
                }
            }
        } catch {
            // Its own affair: whoever asks badly or goes away gets no answer.
        }
    }

    private func answer(
        _ head: HTTPRequestHead, _ channel: any Channel, _ output: Output
    ) async throws {
        let answer = ControlResponse.to(head, of: watched, isMetricsOnly: isMetricsOnly)
        switch answer.body {
        case .whole(let text): try await send(text, answer, head, output)
        case .trace(let selection):
            guard let follower = watched.server.trace() else {
                let refusal = ControlResponse.refusal(
                    .serviceUnavailable,
                    "there are too many readers of traces, or the server runs with --no-stats")
                guard case .whole(let text) = refusal.body else { return }
                return try await send(text, refusal, head, output)
            }
            // A reader of a trace says nothing, for as long as it likes.
            try await channel.pipeline.removeHandler(name: Self.patienceName)
            let stream = try TraceStream(follower, selection, exports: watched.exports)
            try await send(stream, answer, head, output)
        }
    }

    private func send(
        _ text: String, _ answer: ControlResponse, _ head: HTTPRequestHead, _ output: Output
    ) async throws {
        try await output.write(
            .head(response(answer, head, ("content-length", "\(text.utf8.count)"))))
        try await output.write(.body(.byteBuffer(ByteBuffer(string: text))))
        try await output.write(.end(nil))
    }

    /// Writes a piece after the other. Each write waits until the socket has taken the ones before it.
    private func send(
        _ stream: consuming TraceStream, _ answer: ControlResponse, _ head: HTTPRequestHead,
        _ output: Output
    ) async throws {
        var stream = stream
        try await output.write(
            .head(response(answer, head, ("transfer-encoding", "chunked"))))
        while let piece = try await stream.next() {
            try await output.write(.body(.byteBuffer(ByteBuffer(bytes: piece))))
        }
        try await output.write(.end(nil))
    }

    private func response(
        _ answer: ControlResponse, _ head: HTTPRequestHead, _ header: (String, String)
    ) -> HTTPResponseHead {
        var response = HTTPResponseHead(version: .http1_1, status: answer.status)
        response.headers.add(name: "content-type", value: answer.type)
        response.headers.add(name: header.0, value: header.1)
        if answer.status == .methodNotAllowed { response.headers.add(name: "allow", value: "GET") }
        if !head.isKeepAlive { response.headers.add(name: "connection", value: "close") }
        return response
    }
}

/// Closes a connection whose client has been silent too long.
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
