package import ProgramSupport
package import ServerHost
package import Observability
internal import Glibc
package import LinuxIO
package import Logging
package import NBDServer
internal import SystemPackage

/// How a disk is served, besides what it is.
package struct ServingConfiguration: Sendable {
    package var options = ServerOptions()
    package var control = ControlConfiguration(socket: .none)
    /// The kernel that such a disk is attached to is the one that gives memory back through it.
    package var protection = Protection.writeBack

    package init(
        options: ServerOptions = ServerOptions(),
        control: ControlConfiguration = ControlConfiguration(socket: .none),
        protection: Protection = Protection.writeBack
    ) {
        self.options = options
        self.control = control
        self.protection = protection
    }
}

/// The server, its disk, and the ways to ask it about itself.
package final class EmbeddedServer: Sendable {
    /// What the disk was like before it was served.
    package let start: InitialDiskState
    private let server: Server
    /// All connections are the kernel's, which moves requests between them.
    private let group: ConnectionGroup
    private let disk: RamDisk
    private let control: ControlEndpoint
    private let controlFile: SocketFile?
    private let log: EventLog
    private let logger: Logger

    /// Makes the disk, and serves it to whoever is handed over; `onEnd` is told the numbers of connections
    /// that have ended.
    package init(
        _ plan: DiskConfiguration, _ serving: ServingConfiguration, logger: Logger,
        onEnd: @escaping @Sendable (UInt64) -> Void
    ) throws(Failure) {
        Descriptor.raiseLimit()
        serving.protection.begin(logger: logger)
        try Placement.begin(on: serving.options.processors)
        let export = try plan.makeExport(logger: logger)
        serving.protection.disksAreThere(logger: logger)
        let doors = try serving.control.open(logger: logger)
        controlFile = doors.control?.file
        let start = InitialDiskState(export.disk, plan)
        let log = EventLog(logger: logger, isQuiet: true)
        do throws(BackingError) {
            try export.disk.publish()
        } catch {
            doors.control?.file?.remove()
            throw Failure(error)
        }
        do throws(Failure) {
            group = try Self.makeGroup()
            var options = serving.options
            serving.protection.apply(to: &options)
            server = try Self.serve(export, options) { event in
                log.record(event)
                if case .ended(let number, _, _) = event { onEnd(number) }
            }
            control = try ControlEndpoint(
                control: doors.control, metrics: doors.metrics,
                watched: MonitoredServer(
                    server: server, exports: [export], addresses: [],
                    maximumConnections: options.maximumConnections),
                logger: logger)
            try control.start()
        } catch {
            doors.control?.file?.remove()
            // What was there before is not ours to remove.
            if !start.wasFound { export.disk.remove() }
            throw error
        }
        disk = export.disk
        self.start = start
        self.log = log
        self.logger = logger
    }

    private static func serve(
        _ export: Export, _ options: ServerOptions,
        onEvent: @escaping @Sendable (ServerEvent) -> Void
    ) throws(Failure) -> Server {
        do throws(Errno) {
            return try Server(exports: [export], options: options, onEvent: onEvent)
        } catch {
            throw .system("cannot start the server: \(error)")
        }
    }

    private static func makeGroup() throws(Failure) -> ConnectionGroup {
        do throws(Errno) {
            return try ConnectionGroup()
        } catch {
            throw .system("cannot start the server: \(error)")
        }
    }

    /// Takes a connection in, and returns its number.
    @discardableResult
    package func serve(_ socket: consuming StreamSocket) -> UInt64 {
        server.serve(socket, in: group)
    }

    /// Logs how much memory the disk takes up.
    package func logFigures() { ServedDisks.log(disk, to: logger) }

    /// Finishes what has been received, and lets go of the disk: it is kept under its name, or freed.
    package func stop(isKept: Bool) {
        server.stop()
        log.flush()
        control.stop()
        controlFile?.remove()
        if isKept { disk.keep() } else { disk.remove() }
    }
}
