// One client, from its first byte to its last, on a thread of its own.

internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// A connected client. Its thread runs ``run(_:)``; the acceptor made it, and joins it.
final class Connection: Sendable {
    let number: UInt64
    private let socket: StreamSocket
    /// Bytes of replies that a Unix socket takes before the client has read them: a batch. The system's
    /// 208 KiB make the sender wait four times a batch. TCP finds its own size.
    private static var unixSendBuffer: Int { 1 << 20 }
    private let ended = Atomic<Bool>(false)

    init(number: UInt64, socket: consuming StreamSocket) {
        self.number = number
        self.socket = socket
    }

    /// Whether its thread is done, or as good as.
    var hasEnded: Bool { ended.load(ordering: .acquiring) }

    /// What the thread does: the handshake, then requests until there are no more.
    func run(_ context: ServerContext) {
        let end = serve(context)
        context.onEvent(.ended(number, end))
        // Marked before the client can know: a client that has seen the end finds its place free.
        ended.store(true, ordering: .releasing)
        socket.handle.shutdownBoth()
        context.wakeUp.signal()
    }

    private func serve(_ context: ServerContext) -> SessionEnd {
        let handle = socket.handle
        handle.disableDelay()
        if handle.isUnix { handle.setSendBuffer(bytes: Self.unixSendBuffer) }
        do throws(SessionEnd) {
            let export = try negotiate(context)
            context.onEvent(.serving(number, export: export.name))
            let transmission: Transmission
            do throws(Errno) {
                transmission = try Transmission(
                    channel: Channel(handle), disk: export.disk.pages, rules: export.rules,
                    stop: context.stop,
                    pollMicroseconds: context.options.pollMicroseconds)
            } catch {
                throw .failed(error)
            }
            return transmission.run()
        } catch {
            return error
        }
    }

    private func negotiate(_ context: ServerContext) throws(SessionEnd) -> Export {
        let handshake: Handshake
        do throws(Errno) {
            handshake = try Handshake(
                socket: socket.handle, exports: context.exportInfos,
                milliseconds: context.options.handshakeMilliseconds, stop: context.stop)
        } catch {
            throw .failed(error)
        }
        return context.exports[try handshake.run()]
    }

    /// The server is being stopped: what has been received can still be read, then comes the end.
    func stopReceiving() { socket.handle.shutdownReceiving() }

    /// The time for that is over.
    func cut() { socket.handle.shutdownBoth() }
}
