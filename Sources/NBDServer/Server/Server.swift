public import LinuxIO
internal import Synchronization
public import SystemPackage

/// An NBD server.
///
/// ```swift
/// import LinuxIO
/// import NBDServer
///
/// let disk = try RamDisk(size: 40 << 20)
/// try disk.write(Array("hello".utf8), at: 4096)
/// let address = try SocketAddress.resolve(host: "127.0.0.1", port: 0)[0]
/// let listener = try Listener(tcp: address)
/// let server = try Server(exports: [Export(disk: disk)], listeners: [listener])
/// print("serving at nbd://\(listener.address)")
/// // … clients read and write …
/// server.stop()
/// let bytes = try disk.read(at: 4096, count: 5)
/// print(String(decoding: bytes, as: UTF8.self))
/// ```
///
/// It runs on threads of its own: one that takes clients in, and one for each client. None of them
/// needs, or disturbs, Swift's concurrency.
public final class Server: Sendable {
    private let context: ServerContext
    private let acceptor: Thread
    private let isStopped = Mutex(false)

    /// Starts a server; clients that wait in the listeners are taken in at once.
    ///
    /// - Parameters:
    ///   - exports: at least one; the first also answers to the empty name. Names have to differ.
    ///   - listeners: where clients come from, at most ``LinuxIO/Listener/maximumCount``. The server
    ///     closes them when it stops.
    ///   - options: limits and habits.
    ///   - onEvent: told what happens to connections, from the server's threads; must not block.
    /// - Throws: what the kernel says when it has no thread or descriptor left.
    public init(
        exports: [Export], listeners: [Listener] = [], options: ServerOptions = ServerOptions(),
        onEvent: @escaping @Sendable (ServerEvent) -> Void = { _ in }
    ) throws(Errno) {
        precondition(!exports.isEmpty, "a server needs an export")
        precondition(Set(exports.map(\.name)).count == exports.count, "two exports of one name")
        precondition(listeners.count <= Listener.maximumCount, "too many listeners")
        let context = try ServerContext(
            exports: exports, listeners: listeners, options: options, onEvent: onEvent)
        self.context = context
        acceptor = try Thread(name: "nbd-accept") {
            var acceptor = Acceptor(context: context)
            acceptor.run()
        }
    }

    /// Serves a client that is connected already: one end of a socket pair, or an inherited socket.
    /// Answers the connection's number, as events have it.
    @discardableResult
    public func serve(_ socket: consuming StreamSocket) -> UInt64 {
        // Whoever had it before may have used it without waiting.
        socket.handle.setBlocking(true)
        let connection = context.connection(socket)
        context.hand(over: connection)
        return connection.number
    }

    /// Serves a client that is connected already and may move requests between the connections of a
    /// group, as the kernel's driver does. Returns the connection's number. When the group is full, which
    /// ends soon, the connection is closed instead of served.
    package func serve(_ socket: consuming StreamSocket, in group: ConnectionGroup) -> UInt64 {
        let membership = group.join(socket.handle)
        socket.handle.setBlocking(true)
        let connection = context.connection(socket, membership: membership)
        if membership != nil { context.hand(over: connection) }
        return connection.number
    }

    /// What the server and each of its connections have done so far. Asking costs clients nothing.
    public func figures() -> ServerStatistics { context.statistics.snapshot() }

    /// Begins to follow every request; nil when eight others do already, or nothing is counted.
    public func trace() -> TraceFollower? { TraceFollower(context.statistics) }

    /// Stops: takes nobody in any more, finishes what has been received, answers the rest with
    /// ESHUTDOWN, and comes back when every thread is gone and every socket closed. Once is enough;
    /// more do nothing.
    public func stop() {
        isStopped.withLock { isStopped in
            guard !isStopped else { return }
            isStopped = true
            context.stop.set()
            context.wakeUp.signal()
            acceptor.join()
        }
    }

    deinit {
        stop()
    }
}
