package import LinuxIO
@_exported public import NBDProtocol
internal import Synchronization
public import SystemPackage

/// An NBD server.
///
/// ```swift
/// import NBDServer
///
/// let disk = try RamDisk(size: 40 << 20)
/// let server = try Server(
///     exports: [Export(disk: disk)], listeningOn: [.tcp(host: "127.0.0.1", port: 0)])
/// try server.start()
/// print("serving at \(server.uris.joined(separator: ", "))")
/// // … clients read and write …
/// server.stop()
/// ```
///
/// A program uses either ``start()`` and ``stop()``, or ``run()``, which does both. A server runs on threads of
/// its own: one that accepts clients, and one for each client. They need no thread of Swift's concurrency, and
/// they sleep while no client sends anything.
public final class Server: Sendable {
    private struct State: ~Copyable {
        /// The thread that accepts clients; nil unless the server is running.
        var acceptor: Thread?
        var isStopped = false
        var addresses: [Endpoint]
    }

    private let context: ServerContext
    /// The endpoints to open when the server starts.
    private let endpoints: [Endpoint]
    private let state: Mutex<State>
    /// Tasks that wait in ``run()``.
    private let end = EndOfServer()

    /// Makes a server, which listens and serves once it is started.
    ///
    /// - Parameters:
    ///   - exports: the disks to serve, under different names. A client that asks for the empty name gets the
    ///     first one, unless another has that name.
    ///   - endpoints: the addresses to listen on. May be empty for a server of sockets that are passed to
    ///     ``serve(_:)``.
    ///   - options: limits and behaviour.
    ///   - onEvent: receives what happens to connections. The server's threads call it, so it must be quick, and
    ///     must not stop the server.
    public convenience init(
        exports: [Export], listeningOn endpoints: [Endpoint] = [],
        options: ServerOptions = ServerOptions(),
        onEvent: @escaping @Sendable (ServerEvent) -> Void = { _ in }
    ) throws(ServerError) {
        try self.init(exports, endpoints, [], options, onEvent)
    }

    /// Makes a server that accepts clients from sockets that listen already. It closes them when it stops.
    package convenience init(
        exports: [Export], listeners: [Listener], options: ServerOptions = ServerOptions(),
        onEvent: @escaping @Sendable (ServerEvent) -> Void = { _ in }
    ) throws(ServerError) {
        try self.init(exports, [], listeners, options, onEvent)
    }

    private init(
        _ exports: [Export], _ endpoints: [Endpoint], _ listeners: [Listener],
        _ options: ServerOptions, _ onEvent: @escaping @Sendable (ServerEvent) -> Void
    ) throws(ServerError) {
        try Export.check(exports)
        try options.check()
        try Self.check(listenerCount: max(listeners.count, endpoints.count))
        do throws(Errno) {
            context = try ServerContext(
                exports: exports, listeners: listeners, options: options, onEvent: onEvent)
        } catch {
            throw .resources(error)
        }
        self.endpoints = endpoints
        state = Mutex(State(addresses: listeners.map { Endpoint($0.address) }))
    }

    private static func check(listenerCount count: Int) throws(ServerError) {
        guard count <= Listener.maximumCount else {
            throw ServerError(
                .tooManyListeners,
                "a server cannot listen on \(count) addresses, only on \(Listener.maximumCount)")
        }
    }

    // MARK: - Starting and stopping

    /// Opens the endpoints, and serves from then on, until ``stop()`` or the end of this object. Clients that wait
    /// in the endpoints' queues are served at once. Does nothing when the server is running.
    ///
    /// Looking up a host name may take some seconds.
    public func start() throws(ServerError) {
        try state.withLock { (state) throws(ServerError) in
            guard !state.isStopped else {
                throw ServerError(.stopped, "the server was stopped; make a new one")
            }
            guard state.acceptor == nil else { return }
            if !endpoints.isEmpty {
                var listeners: [Listener] = []
                for endpoint in endpoints { listeners += try endpoint.listen() }
                try Self.check(listenerCount: listeners.count)
                state.addresses = listeners.map { Endpoint($0.address) }
                context.set(listeners)
            }
            let (context, end) = (context, end)
            do throws(Errno) {
                state.acceptor = try Thread(name: "nbd-accept") {
                    var acceptor = Acceptor(context: context)
                    acceptor.run()
                    end.signal()
                }
            } catch {
                throw .resources(error)
            }
        }
    }

    /// Stops: accepts no more clients, finishes the requests that have been received, fails the rest with
    /// `ESHUTDOWN`, and returns when every thread has ended and every socket is closed. That takes
    /// ``ServerOptions/stopGracePeriod`` at most, and the time of one call of a ``BlockStore``. Does nothing when
    /// the server is stopped.
    public func stop() {
        state.withLock { state in
            guard !state.isStopped else { return }
            state.isStopped = true
            requestStop()
            if let acceptor = state.acceptor {
                acceptor.join()
                state.acceptor = nil
            } else {
                context.refuseHandedOver()
                _ = context.takeListeners()
                end.signal()
            }
        }
    }

    /// Serves until the task is cancelled or ``stop()`` is called, then stops as that does and returns. Starts the
    /// server first if it is not running.
    ///
    /// While the server serves, the task is suspended and nothing wakes it. The method has the form of a
    /// `Service` of swift-service-lifecycle.
    public func run() async throws(ServerError) {
        try start()
        await withTaskCancellationHandler {
            await end.wait()
        } onCancel: {
            requestStop()
        }
        // The acceptor's thread is at its end, so this joins it without waiting.
        stop()
    }

    /// Asks the acceptor to stop, and does not wait for that.
    private func requestStop() {
        context.stop.set()
        context.wakeUp.signal()
    }

    deinit {
        stop()
    }

    // MARK: - Addresses

    /// The addresses that the server listens on, with the ports that the kernel has chosen; empty before it is
    /// started, unless it was made with listeners.
    public var addresses: [Endpoint] { state.withLock { $0.addresses } }

    /// The NBD URIs of the first export, without repetitions: one for each address.
    public var uris: [String] {
        addresses.compactMap { $0.uri(isEncrypted: context.options.tls != nil) }
            .reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    // MARK: - Clients that are connected already

    /// Serves a client that is connected already: one end of a socket pair, or an inherited socket. The server
    /// owns the descriptor from now on, and closes it. Before the server is started the client waits.
    ///
    /// Returns the connection's id, as events have it.
    @discardableResult
    public func serve(_ socket: FileDescriptor) -> UInt64 {
        serve(StreamSocket(Descriptor(adopting: socket.rawValue)))
    }

    /// Serves a client that is connected already. Returns the connection's id, as events have it.
    @discardableResult
    package func serve(_ socket: consuming StreamSocket) -> UInt64 {
        // The program may have used it in non-blocking mode.
        socket.handle.setBlocking(true)
        let connection = context.connection(socket)
        context.hand(over: connection)
        return connection.number
    }

    /// Serves a client that is connected already and may move requests between the connections of a group, as the
    /// kernel's driver does. Returns the connection's id. A group is full only for a short time; then the
    /// connection is closed instead of served.
    package func serve(_ socket: consuming StreamSocket, in group: ConnectionGroup) -> UInt64 {
        let membership = group.join(socket.handle)
        socket.handle.setBlocking(true)
        let connection = context.connection(socket, membership: membership)
        if membership != nil { context.hand(over: connection) }
        return connection.number
    }

    // MARK: - Exports

    /// The exports, the default one first.
    public var exports: [Export] { context.exports.all }

    /// Adds an export. Clients whose handshake begins later can choose it.
    ///
    /// - Throws: ``ServerError`` when another export has its name, or its name, description or size is out of range.
    public func add(_ export: Export) throws(ServerError) { try context.add(export) }

    /// Removes an export, and returns whether there was one of that name besides others. Clients that have chosen it
    /// can still use it: it exists until the last of them has disconnected.
    @discardableResult
    public func removeExport(named name: String) -> Bool { context.remove(exportNamed: name) }

    // MARK: - Statistics

    /// Returns a copy of what the server and each of its connections have done. It does not slow clients down.
    public func statistics() -> ServerStatistics {
        context.statistics.statistics(exports: context.exports.all.map(\.name))
    }

    /// Begins to trace every request. Returns nil when there are eight traces already, or when
    /// ``ServerOptions/isCounting`` is off.
    public func trace() -> TraceFollower? { TraceFollower(context.statistics) }
}

/// The end of a server's threads, for tasks to wait for.
private final class EndOfServer: Sendable {
    private struct State {
        var isOver = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    /// Waits until ``signal()`` is called, or has been.
    func wait() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if !state.isOver { state.waiting.append(continuation) }
                return state.isOver
            }
            if isOver { continuation.resume() }
        }
    }

    /// Resumes every task that waits.
    func signal() {
        let waiting = state.withLock { state in
            state.isOver = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}
