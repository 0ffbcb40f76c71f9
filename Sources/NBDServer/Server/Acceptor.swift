// The one thread that takes clients in, and cleans up after them.

internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// Owns the listeners and every connection; used by its own thread alone.
struct Acceptor: ~Copyable {
    /// A connection and the thread that serves it.
    private struct Worker {
        let connection: Connection
        let thread: Thread
    }

    private let context: ServerContext
    private var listeners: [Listener]
    private var workers: [UInt64: Worker] = [:]

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
            for connection in context.takeHandedOver() { admit(connection) }
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
            let ready = try Listener.wait(
                for: listeners, or: context.wakeUp, milliseconds: milliseconds)
            context.wakeUp.clear()
            return ready
        } catch {
            context.onEvent(.acceptFailed(error))
            return []
        }
    }

    private mutating func accept(from listener: Listener) {
        do throws(Errno) {
            admit(context.connection(try listener.accept()))
        } catch {
            // The client may be gone again; that is its own affair.
            guard error != .connectionAbort else { return }
            context.onEvent(.acceptFailed(error))
            _ = wait(for: [], milliseconds: Self.pause)
        }
    }

    /// Starts a thread for a connection, or closes it when there are too many.
    private mutating func admit(_ connection: Connection) {
        joinEnded()
        guard workers.count < context.options.maximumConnections else {
            return context.onEvent(.refused(limit: context.options.maximumConnections))
        }
        let context = context
        context.onEvent(.connected(connection.number))
        do throws(Errno) {
            let thread = try Thread(name: "nbd-\(connection.number)") { connection.run(context) }
            workers[connection.number] = Worker(connection: connection, thread: thread)
        } catch {
            context.onEvent(.acceptFailed(error))
        }
    }

    /// Joins the threads of connections that have ended, which closes their sockets.
    private mutating func joinEnded() {
        for (number, worker) in workers where worker.connection.hasEnded {
            worker.thread.join()
            workers[number] = nil
        }
    }
}
