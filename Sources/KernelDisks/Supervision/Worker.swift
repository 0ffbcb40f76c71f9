package import ServerHost
package import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
package import Logging
internal import NBDServer
internal import Synchronization
internal import SystemPackage

/// Serves the sockets that its supervisor hands over.
///
/// When the supervisor is gone it serves on as long as the kernel has the other end of one, or until
/// SIGTERM. It does not free the disk's memory unless its supervisor says so, or nobody but itself can
/// know of it.
package struct Worker {
    package let plan: DiskConfiguration
    package let serving: ServingConfiguration
    package let logger: Logger
    package let stop: SupervisorMailbox

    package init(
        plan: DiskConfiguration, serving: ServingConfiguration, logger: Logger,
        stop: SupervisorMailbox
    ) {
        self.plan = plan
        self.serving = serving
        self.logger = logger
        self.stop = stop
    }

    /// Number of the control socket in the worker: the first after the standard ones.
    package static var controlDescriptor: CInt { 3 }

    /// Serves until it is told to stop, or gets a signal.
    package func run() throws(Failure) {
        CurrentProcess.markAsRootStorageDaemon()
        let socket = DescriptorChannel(Descriptor(adopting: Self.controlDescriptor))
        let control = WorkerChannel(socket, stop)
        let server = try EmbeddedServer(plan, serving, logger: logger) { number in
            control.hasEnded(number)
        }
        control.tell(.ready(server.start))
        let last = obey(control, server)
        let isUnknown = last == nil && control.isUnused && !server.start.wasFound
        server.stop(isKept: last != .stopAndRemove && !isUnknown)
    }

    /// Answers the message that ended it; nil when a signal did, or there is nothing left to serve.
    private func obey(_ control: WorkerChannel, _ server: EmbeddedServer) -> WorkerMessage? {
        var items = [stop.item, PollSource.input(control.socket.handle)]
        while !stop.isSet {
            guard let ready = try? PollSource.poll(items) else { continue }
            stop.clear()
            if stop.takeFigures() { server.logFigures() }
            if ready.count > 1, ready[1] {
                guard let received = try? control.socket.receive() else {
                    logger.warning("the supervisor is gone; serving what is attached")
                    items.removeLast()
                    stop.nudge()
                    continue
                }
                let message = WorkerMessage(decoding: received.bytes)
                if message == .stopAndKeep || message == .stopAndRemove { return message }
                if message == .serve { serve(received, control, server) }
            }
            if items.count == 1, control.isIdle { return nil }
        }
        return nil
    }

    private func serve(
        _ message: consuming DescriptorMessage, _ control: WorkerChannel, _ server: EmbeddedServer
    ) {
        guard let socket = message.socket else { return }
        control.begins()
        server.serve(socket)
    }
}

/// The way to the supervisor, for the server's threads too, and how many connections there are.
private final class WorkerChannel: Sendable {
    package let socket: DescriptorChannel
    private let stop: SupervisorMailbox
    private let begun = Atomic<Int>(0)
    private let ended = Atomic<Int>(0)

    package init(_ socket: consuming DescriptorChannel, _ stop: SupervisorMailbox) {
        self.socket = socket
        self.stop = stop
    }

    /// A supervisor that is gone needs to be told nothing.
    package func tell(_ message: WorkerMessage) { try? socket.send(message.encoded) }

    /// A connection is about to be served.
    package func begins() { begun.wrappingAdd(1, ordering: .relaxed) }

    /// A connection has ended.
    package func hasEnded(_ number: UInt64) {
        ended.wrappingAdd(1, ordering: .relaxed)
        tell(.ended(number))
        stop.nudge()
    }

    /// Whether no connection is left.
    package var isIdle: Bool { begun.load(ordering: .relaxed) == ended.load(ordering: .relaxed) }
    /// Whether there has never been one.
    package var isUnused: Bool { begun.load(ordering: .relaxed) == 0 }
}
