internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// Owns the listeners and every connection; used by its own thread alone.
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
    /// Workers by where their clients come from.
    private var sources: [Peer.Source: Int] = [:]

    /// Milliseconds to wait when the kernel has no more descriptors or memory for a client.
    private static var pause: Int { 100 }

    init(context: ServerContext) {
        self.context = context
        listeners = context.takeListeners()
    }

    /// Takes clients in until the server is stopped, then sees every connection to its end.
    mutating func run() {
        while !context.stop.isSet {
            let ready = wait(for: listeners)
            for index in ready { accept(from: listeners[index]) }
            // Again and again: while one was admitted, the wake-up of another may have been cleared.
            while case let waiting = context.takeHandedOver(), !waiting.isEmpty {
                for connection in waiting { admit(connection) }
            }
            joinEnded()
        }
        context.refuseHandedOver()
        // Closing them removes the files of Unix sockets.
        listeners = []
        for worker in workers.values { worker.connection.stopReceiving() }
        let deadline = MonotonicTime.now().adding(milliseconds: context.options.stopMilliseconds)
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

    // MARK: - Taking in

    private mutating func accept(from listener: Listener) {
        do throws(Errno) {
            let socket = try listener.accept()
            // Who is gone again need not be known.
            guard let peer = try? socket.peer() else { return }
            guard context.options.admission.admits(peer) else {
                context.statistics.recordRejection()
                return context.onEvent(.refused(.notAdmitted, peer: peer))
            }
            admit(context.connection(socket, peer: peer))
        } catch {
            // The client is gone again, or another process has taken it; that is their own affair.
            guard error != .connectionAbort, error != .wouldBlock else { return }
            failed(error)
        }
    }

    /// Starts a thread for a connection, or closes it when there are too many.
    private mutating func admit(_ connection: Connection) {
        joinEnded()
        if let refusal = refusal(of: connection) {
            context.statistics.recordRejection()
            return context.onEvent(.refused(refusal, peer: connection.peer))
        }
        if context.places.handshakes >= context.options.maximumHandshakes { _ = evict() }
        start(connection)
    }

    private func refusal(of connection: Connection) -> RejectionReason? {
        if context.places.isFull { return .connectionLimit(context.places.limit) }
        if let limit = context.options.maximumConnectionsPerSource, connection.peer != nil,
            sources[connection.source, default: 0] >= limit
        {
            return .sourceLimit(limit)
        }
        return nil
    }

    private mutating func start(_ connection: Connection) {
        let context = context
        context.places.enter()
        do throws(Errno) {
            let counters = try ConnectionCounters(
                number: connection.number, peer: connection.peer, in: context.statistics)
            let thread = try Thread(name: "nbd-\(connection.number)") {
                // Seen by whoever looks before its first request is served.
                context.statistics.add(counters)
                context.onEvent(.connected(connection.number, peer: connection.peer))
                connection.run(context, counters)
            }
            workers[connection.number] = Worker(
                connection: connection, counters: counters, thread: thread)
            sources[connection.source, default: 0] += 1
        } catch {
            context.places.leaveHandshake()
            failed(error)
        }
    }

    /// A client could not be taken in. Where the kernel has too little of something, somebody in the
    /// handshake gives its share back; else, or when there is nobody, all that helps is to wait.
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

    // MARK: - Letting go

    /// Closes a connection that is in the handshake, and sees it to its end, so that there are never
    /// more threads than the limits allow. Says whether there was one.
    private mutating func evict() -> Bool {
        while true {
            var crowd = HandshakeEviction()
            let now = MonotonicTime.now()
            for worker in workers.values where worker.connection.isInHandshake {
                crowd.add(
                    worker.connection.number, from: worker.connection.source,
                    milliseconds: now.milliseconds(from: worker.counters.openedAt))
            }
            guard let first = crowd.first, let worker = workers[first] else { return false }
            // It may have moved on since it was looked at.
            guard worker.connection.evict(context.places) else { continue }
            join(worker)
            return true
        }
    }

    /// Joins the threads of connections that have ended, which closes their sockets.
    private mutating func joinEnded() {
        guard context.places.takeEndedFlag() else { return }
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
