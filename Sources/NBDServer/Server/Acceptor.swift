internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// Owns the listeners and every connection. Its own thread alone uses it.
struct Acceptor: ~Copyable {
    /// A connection and the thread that serves it.
    private struct Worker {
        let connection: Connection
        let counters: ConnectionCounters
        let thread: Thread
    }

    private let context: ServerContext
    private var listeners: [Listener]
    private var workers: [UInt64: Worker] = [:]
    /// The number of workers from each source.
    private var sources: [Peer.Source: Int] = [:]

    /// The wait in milliseconds when the kernel has no descriptor or memory for a client.
    private static var pause: Int { 100 }

    init(context: ServerContext) {
        self.context = context
        listeners = context.takeListeners()
    }

    /// Accepts clients until the server is stopped, then waits for every connection to end.
    mutating func run() {
        while !context.stop.isSet {
            let ready = wait(for: listeners)
            for index in ready { accept(from: listeners[index]) }
            // Repeats until none is left: while one was admitted, the wake-up for another may have been cleared.
            while case let waiting = context.takeHandedOver(), !waiting.isEmpty {
                for connection in waiting { admit(connection) }
            }
            joinEnded()
        }
        context.refuseHandedOver()
        // Closing them removes the files of Unix sockets.
        listeners = []
        for worker in workers.values { worker.connection.stopReceiving() }
        let deadline = MonotonicTime.now().adding(
            milliseconds: context.options.stopGracePeriod.wholeMilliseconds)
        while !workers.isEmpty, MonotonicTime.now() < deadline {
            _ = wait(for: [], milliseconds: deadline.milliseconds(from: .now()))
            joinEnded()
        }
        for worker in workers.values { worker.connection.cut() }
        for worker in workers.values { worker.thread.join() }
    }

    private func wait(for listeners: [Listener], milliseconds: Int? = nil) -> [Int] {
        do throws(Errno) {
            let ready = try Listener.poll(
                listeners, or: context.wakeUp, milliseconds: milliseconds)
            context.wakeUp.clear()
            return ready
        } catch {
            context.onEvent(.acceptFailed(error))
            return []
        }
    }

    // MARK: - Accepting

    private mutating func accept(from listener: Listener) {
        do throws(Errno) {
            let socket = try listener.accept()
            // The client may have disconnected already.
            guard let peer = try? socket.peer() else { return }
            guard context.options.admission.admits(peer) else {
                context.statistics.recordRejection()
                return context.onEvent(
                    .rejected(.init(reason: .notAdmitted, client: ClientAddress(peer))))
            }
            admit(context.connection(socket, peer: peer))
        } catch {
            // The client has disconnected, or another process has accepted it: not an error.
            guard error != .connectionAbort, error != .wouldBlock else { return }
            failed(error)
        }
    }

    /// Starts a thread for a connection, or rejects it when there are too many.
    private mutating func admit(_ connection: Connection) {
        joinEnded()
        if let reason = rejection(of: connection) {
            context.statistics.recordRejection()
            return context.onEvent(
                .rejected(.init(reason: reason, client: connection.client)))
        }
        if context.slots.handshakes >= context.options.maximumHandshakes { _ = evict() }
        start(connection)
    }

    private func rejection(of connection: Connection) -> RejectionReason? {
        if context.slots.isFull { return .connectionLimit(context.slots.limit) }
        if let limit = context.options.maximumConnectionsPerSource, connection.peer != nil,
            sources[connection.source, default: 0] >= limit
        {
            return .sourceLimit(limit)
        }
        return nil
    }

    private mutating func start(_ connection: Connection) {
        let context = context
        context.slots.beginHandshake()
        do throws(Errno) {
            let counters = try ConnectionCounters(
                number: connection.number, peer: connection.peer, in: context.statistics)
            let thread = try Thread(name: "nbd-\(connection.number)") {
                // Before its first request is served, so that statistics have it.
                context.statistics.add(counters)
                context.onEvent(
                    .connected(.init(connection: connection.number, client: connection.client)))
                connection.run(context, counters)
            }
            workers[connection.number] = Worker(
                connection: connection, counters: counters, thread: thread)
            sources[connection.source, default: 0] += 1
        } catch {
            context.slots.endHandshake()
            failed(error)
        }
    }

    /// Handles a client that could not be accepted. Where the kernel is out of a resource, evicting a connection
    /// in the handshake frees some; otherwise, or when there is none, the acceptor waits.
    private mutating func failed(_ error: Errno) {
        context.onEvent(.acceptFailed(error))
        let wants: [Errno] = [
            .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory, .noBufferSpace,
            .resourceTemporarilyUnavailable,
        ]
        guard wants.contains(error), evict() else {
            _ = wait(for: [], milliseconds: Self.pause)
            return
        }
    }

    // MARK: - Ending

    /// Evicts a connection that is in the handshake, and joins its thread, so that there are never more threads
    /// than the limits allow. Returns whether there was one.
    private mutating func evict() -> Bool {
        while true {
            var candidates = HandshakeEviction()
            let now = MonotonicTime.now()
            for worker in workers.values where worker.connection.isInHandshake {
                candidates.add(
                    worker.connection.number, from: worker.connection.source,
                    milliseconds: now.milliseconds(from: worker.counters.openedAt))
            }
            guard let first = candidates.first, let worker = workers[first] else { return false }
            // The connection may have left the handshake since.
            guard worker.connection.evict(context.slots) else { continue }
            join(worker)
            return true
        }
    }

    /// Joins the threads of connections that have ended, which closes their sockets.
    private mutating func joinEnded() {
        guard context.slots.takeEndedFlag() else { return }
        for worker in workers.values where worker.connection.hasEnded { join(worker) }
    }

    private mutating func join(_ worker: Worker) {
        worker.thread.join()
        context.statistics.remove(worker.counters)
        let connection = worker.connection
        workers[connection.number] = nil
        let left = sources[connection.source, default: 1] - 1
        sources[connection.source] = left > 0 ? left : nil
    }
}
