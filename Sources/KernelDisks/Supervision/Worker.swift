internal import Confinement
package import ServerHost
package import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
package import Logging
internal import NBDServer
internal import Synchronization
internal import SystemPackage

/// The worker process, which serves the sockets that its supervisor hands over.
///
/// When the supervisor has died, the worker continues to serve as long as the kernel has the other end of a socket, or
/// until SIGTERM. It releases the disk's memory only when its supervisor has said so, or when no other process can know
/// of the memory.
package struct Worker {
    let plan: DiskConfiguration
    let serving: ServingConfiguration
    let logger: Logger
    let stop: SupervisorMailbox

    package init(
        plan: DiskConfiguration, serving: ServingConfiguration, logger: Logger,
        stop: SupervisorMailbox
    ) {
        self.plan = plan
        self.serving = serving
        self.logger = logger
        self.stop = stop
    }

    /// The descriptor of the channel in the worker: the first after the standard ones.
    static var channelDescriptor: CInt { 3 }

    /// Serves until the supervisor asks it to stop, a signal does, or nothing is left to serve.
    package func run() throws(Failure) {
        CurrentProcess.markAsRootStorageDaemon()
        let socket = DescriptorChannel(Descriptor(adopting: Self.channelDescriptor))
        let channel = WorkerChannel(socket, stop)
        var confinement = Confinement(serving.sandbox, disks: [plan])
        confinement.addThawing()
        let server = try EmbeddedServer(plan, serving, confinement, logger: logger) {
            connectionID in
            channel.connectionEnded(connectionID)
        }
        let freezes = FreezeBySupervisor(logger: logger) { channel.send($0) }
        server.freeze { () throws(Failure) in try freezes.freeze() }
        let saves = WorkerSaves(server) { channel.send(.saved(failure: $0)) }
        channel.send(.ready(server.start))
        let last = serveUntilStopped(channel, server, saves, freezes)
        // No supervisor replies any more, and a save that has begun is completed.
        freezes.end()
        saves.join()
        let isUnknown = last == nil && channel.isUnused && !server.start.wasFound
        server.stop(isKept: last != .stopAndRemove && !isUnknown)
    }

    /// Serves connections, and returns the message that has ended this; nil when a signal has, or nothing is
    /// left to serve.
    private func serveUntilStopped(
        _ channel: WorkerChannel, _ server: EmbeddedServer, _ saves: WorkerSaves,
        _ freezes: FreezeBySupervisor
    ) -> WorkerMessage? {
        var items = [stop.pollSource, PollSource.input(channel.socket.handle)]
        while !stop.isStopRequested {
            guard let ready = try? PollSource.poll(items) else { continue }
            stop.clear()
            if stop.takeStatisticsRequest() { server.logMemoryUse() }
            if ready.count > 1, ready[1] {
                guard let received = try? channel.socket.receive() else {
                    logger.warning("the supervisor has died; serving the connections that exist")
                    items.removeLast()
                    freezes.supervisorIsGone()
                    stop.nudge()
                    continue
                }
                switch WorkerMessage(decoding: received.bytes) {
                case .stopAndKeep: return .stopAndKeep
                case .stopAndRemove: return .stopAndRemove
                case .save: saves.begin()
                case .mounted(let path): freezes.setMountPoint(path)
                case .frozen(let requestID, let failure):
                    freezes.answered(requestID, failure: failure)
                case .serve: serve(received, channel, server)
                default: break
                }
            }
            if items.count == 1, channel.isIdle { return nil }
        }
        return nil
    }

    private func serve(
        _ message: consuming DescriptorMessage, _ channel: WorkerChannel, _ server: EmbeddedServer
    ) {
        guard let socket = message.socket else { return }
        channel.connectionBegins()
        server.serve(socket)
    }
}

/// Saves the disk once for each request, one save after the other, on a thread of its own: the worker's main thread
/// continues to receive messages. The main thread calls it.
private final class WorkerSaves: Sendable {
    private struct State {
        /// The number of saves that have not begun.
        var waiting = 0
        /// Whether the thread will look for more saves.
        var isRunning = false
        var thread: Thread?
    }

    private let server: EmbeddedServer
    private let onEnd: @Sendable (_ failure: String?) -> Void
    private let state = Mutex(State())

    /// - Parameter onEnd: called after each save, with the reason if it has failed.
    init(_ server: EmbeddedServer, onEnd: @escaping @Sendable (_ failure: String?) -> Void) {
        self.server = server
        self.onEnd = onEnd
    }

    /// Requests a save, which begins after the ones that were requested before.
    func begin() {
        let mustStart = state.withLock { state in
            state.waiting += 1
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard mustStart else { return }
        join()
        do throws(Errno) {
            let thread = try Thread(name: "save") { self.run() }
            state.withLock { $0.thread = thread }
        } catch {
            state.withLock { $0 = State() }
            onEnd("cannot start a thread: \(error)")
        }
    }

    private func run() {
        while takeNext() {
            do throws(Failure) {
                try server.save()
                onEnd(nil)
            } catch {
                onEnd(error.sentence)
            }
        }
    }

    /// Returns whether there is a save to do. If not, the thread ends.
    private func takeNext() -> Bool {
        state.withLock { state in
            state.isRunning = state.waiting > 0
            if state.isRunning { state.waiting -= 1 }
            return state.isRunning
        }
    }

    /// Waits until no save is in progress.
    func join() {
        let thread = state.withLock { $0.thread.take() }
        thread?.join()
    }
}

/// The channel to the supervisor, and the number of connections. The main thread receives from it and counts
/// connections as they begin; the server's threads send over it and count connections as they end.
private final class WorkerChannel: Sendable {
    let socket: DescriptorChannel
    private let stop: SupervisorMailbox
    private let begun = Atomic<Int>(0)
    private let ended = Atomic<Int>(0)

    init(_ socket: consuming DescriptorChannel, _ stop: SupervisorMailbox) {
        self.socket = socket
        self.stop = stop
    }

    /// Sends a message. A failure means that the supervisor has died, and is ignored.
    func send(_ message: WorkerMessage) { try? socket.send(message.encoded) }

    /// Counts a connection that is about to be served.
    func connectionBegins() { begun.wrappingAdd(1, ordering: .relaxed) }

    /// Counts a connection that has ended, and reports it to the supervisor.
    func connectionEnded(_ connectionID: UInt64) {
        ended.wrappingAdd(1, ordering: .relaxed)
        send(.ended(connectionID))
        stop.nudge()
    }

    /// Whether no connection is left.
    var isIdle: Bool { begun.load(ordering: .relaxed) == ended.load(ordering: .relaxed) }
    /// Whether there has never been a connection.
    var isUnused: Bool { begun.load(ordering: .relaxed) == 0 }
}
