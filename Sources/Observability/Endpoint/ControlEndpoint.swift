package import ProgramSupport
internal import Glibc
internal import LinuxHost
package import LinuxIO
package import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization
internal import SystemPackage

/// The HTTP endpoint of a server: its control socket and its metrics addresses.
///
/// Until the first client connects, the endpoint is one thread that sleeps in poll(2). That thread
/// starts the NIO event loop and Swift's tasks for the first client, so an endpoint that is never
/// used costs neither their threads nor their memory.
///
/// The endpoint uses NIO because it serves many clients at once, some of them for hours, and parses
/// what any program may send. The client of this project does not; `HTTPResponseReader` says why.
package final class ControlEndpoint: Sendable {
    /// Maximum number of open connections to the control socket, and, counted separately, to the
    /// metrics addresses, so that clients of one cannot lock out clients of the other. Connections
    /// beyond it are closed at once.
    private static let connectionLimit = 256

    private let listeners: [Listener]
    /// Number of control sockets in `listeners`, where they come first: 0 or 1.
    private let controlCount: Int
    private let monitored: MonitoredServer
    private let logger: Logger
    private let wakeUp: EventFD
    private let thread = Mutex<Thread?>(nil)
    /// Fulfilled when every client is disconnected and the event loop has stopped.
    private let disconnected: OneShotEvent
    private let isStopped = Atomic<Bool>(false)
    private let controlConnections = Atomic<Int>(0)
    private let metricsConnections = Atomic<Int>(0)

    /// A connection that was accepted and is not served yet.
    private final class AcceptedClient: Sendable {
        private let socket: Mutex<StreamSocket?>
        package let isMetricsOnly: Bool

        package init(_ socket: consuming StreamSocket, isMetricsOnly: Bool) {
            self.socket = Mutex(socket)
            self.isMetricsOnly = isMetricsOnly
        }

        package func take() -> StreamSocket? { socket.withLock { $0.take() } }
    }

    package init(
        control: Listener?, metrics: [Listener], monitored: MonitoredServer, logger: Logger
    ) throws(Failure) {
        listeners = (control.map { [$0] } ?? []) + metrics
        controlCount = control == nil ? 0 : 1
        self.monitored = monitored
        self.logger = logger
        do throws(Errno) {
            wakeUp = try EventFD()
            disconnected = try OneShotEvent()
        } catch {
            throw .system("cannot create an eventfd for the control socket: \(error)")
        }
    }

    /// Starts the thread that accepts connections. ``stop()`` ends it.
    package func start() throws(Failure) {
        guard !listeners.isEmpty else { return }
        do throws(Errno) {
            let started = try Thread(name: "control") { self.accept() }
            thread.withLock { $0 = started }
        } catch {
            throw .system("cannot start a thread for the control socket: \(error)")
        }
    }

    /// Disconnects every client, and returns when they are disconnected.
    package func stop() {
        isStopped.store(true, ordering: .releasing)
        wakeUp.signal()
        thread.withLock { $0.take() }?.join()
    }

    /// Serves each client in a task of its own until the stream of clients ends.
    private func serve(_ clients: AsyncStream<AcceptedClient>) async {
        var group: MultiThreadedEventLoopGroup?
        await withDiscardingTaskGroup { tasks in
            for await client in clients {
                guard let socket = client.take() else { continue }
                let loops = group ?? MultiThreadedEventLoopGroup(numberOfThreads: 1)
                group = loops
                let connection = HTTPConnection(
                    monitored: monitored, isMetricsOnly: client.isMetricsOnly)
                let box = Mutex(Optional(socket))
                tasks.addTask {
                    if let socket = box.withLock({ $0.take() }) {
                        await connection.run(socket, on: loops.next())
                    }
                    self.releaseSlot(isMetricsOnly: client.isMetricsOnly)
                }
            }
            tasks.cancelAll()
        }
        try? await group?.shutdownGracefully()
    }

    // MARK: - On the endpoint's thread

    private func accept() {
        var inbox: AsyncStream<AcceptedClient>.Continuation?
        while !isStopped.load(ordering: .acquiring) {
            do throws(Errno) {
                let ready = try Listener.poll(listeners, or: wakeUp)
                wakeUp.clear()
                for index in ready {
                    guard let client = try acceptClient(index) else { continue }
                    if inbox == nil { inbox = startServing() }
                    inbox?.yield(client)
                }
            } catch {
                // The process is out of descriptors or memory. Retry after a pause, since both may
                // become available again.
                if error != .wouldBlock, error != .connectionAbort {
                    Thread.sleep(milliseconds: 100)
                }
            }
        }
        guard let inbox else { return }
        inbox.finish()
        disconnected.wait()
    }

    /// Starts the task that serves clients. Called for the first client.
    private func startServing() -> AsyncStream<AcceptedClient>.Continuation {
        let (clients, inbox) = AsyncStream.makeStream(of: AcceptedClient.self)
        Task.detached {
            await self.serve(clients)
            self.disconnected.signal()
        }
        return inbox
    }

    /// Accepts a connection. Returns nil, and closes it, when its user may not use the control
    /// socket or too many connections are open.
    private func acceptClient(_ index: Int) throws(Errno) -> AcceptedClient? {
        let socket = try listeners[index].accept()
        let isMetricsOnly = index >= controlCount
        if !isMetricsOnly, !Self.isAllowed(try socket.peer()) { return nil }
        guard acquireSlot(isMetricsOnly: isMetricsOnly) else { return nil }
        return AcceptedClient(socket, isMetricsOnly: isMetricsOnly)
    }

    /// Counts one more connection of its kind, and returns false at the limit. Only the endpoint's
    /// thread increments the counters, so comparing and then adding cannot exceed the limit.
    private func acquireSlot(isMetricsOnly: Bool) -> Bool {
        if isMetricsOnly {
            guard metricsConnections.load(ordering: .relaxed) < Self.connectionLimit else {
                return false
            }
            metricsConnections.wrappingAdd(1, ordering: .relaxed)
        } else {
            guard controlConnections.load(ordering: .relaxed) < Self.connectionLimit else {
                return false
            }
            controlConnections.wrappingAdd(1, ordering: .relaxed)
        }
        return true
    }

    private func releaseSlot(isMetricsOnly: Bool) {
        if isMetricsOnly {
            metricsConnections.wrappingSubtract(1, ordering: .relaxed)
        } else {
            controlConnections.wrappingSubtract(1, ordering: .relaxed)
        }
    }

    /// Returns whether the client runs as the server's user or as root. The mode of the socket file
    /// already keeps other users out; this check also rejects a client that connected because the
    /// mode was changed or because it was passed a descriptor.
    private static func isAllowed(_ peer: Peer) -> Bool {
        guard case .process(let credentials) = peer else { return false }
        return credentials.uid == geteuid() || credentials.uid == 0
    }
}
