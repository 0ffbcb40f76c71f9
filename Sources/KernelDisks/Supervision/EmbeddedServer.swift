package import ProgramSupport
package import ServerHost
package import Observability
internal import Glibc
package import LinuxIO
package import Logging
package import NBDServer
internal import SystemPackage

/// How a disk is served.
package struct ServingConfiguration: Sendable {
    package var options = ServerOptions()
    package var control = ControlConfiguration(socket: .none)
    /// How the server is protected when memory is short. A kernel disk is attached to the kernel that writes
    /// pages to it to free memory.
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

/// A server in this process, with its disk and its observability endpoints.
package final class EmbeddedServer: Sendable {
    /// What the disk was like before it was served.
    package let start: InitialDiskState
    private let server: Server
    /// The group of all connections. All are the kernel's, which moves requests between them.
    private let group: ConnectionGroup
    private let disk: RamDisk
    private let control: ControlEndpoint
    private let controlFile: SocketFile?
    private let log: EventLog
    private let logger: Logger

    /// Creates the disk and starts the server. `onEnd` is called on a thread of the server with the number of
    /// each connection that has ended.
    package init(
        _ plan: DiskConfiguration, _ serving: ServingConfiguration, logger: Logger,
        onEnd: @escaping @Sendable (UInt64) -> Void
    ) throws(Failure) {
        Descriptor.raiseLimit()
        serving.protection.begin(logger: logger)
        try Placement.begin(on: serving.options.processors)
        let export = try plan.makeExport(logger: logger)
        serving.protection.disksAreThere(logger: logger)
        let endpoints = try serving.control.open(logger: logger)
        controlFile = endpoints.control?.file
        let start = InitialDiskState(export.disk, plan)
        let log = EventLog(logger: logger, isQuiet: true)
        do throws(BackingError) {
            try export.disk.publish()
        } catch {
            endpoints.control?.file?.remove()
            throw Failure(error)
        }
        do throws(Failure) {
            group = try Self.makeGroup()
            var options = serving.options
            serving.protection.apply(to: &options)
            server = try Self.serve(export, options) { event in
                log.record(event)
                if case .ended(let event) = event { onEnd(event.connection) }
            }
            control = try ControlEndpoint(
                control: endpoints.control, metrics: endpoints.metrics,
                monitored: MonitoredServer(
                    server: server, exports: [export], addresses: [],
                    maximumConnections: options.maximumConnections),
                logger: logger)
            try control.start()
        } catch {
            endpoints.control?.file?.remove()
            // Memory that existed before this start is kept.
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
        do throws(ServerError) {
            let server = try Server(exports: [export], options: options, onEvent: onEvent)
            try server.start()
            return server
        } catch {
            throw .system("\(error)")
        }
    }

    private static func makeGroup() throws(Failure) -> ConnectionGroup {
        do throws(Errno) {
            return try ConnectionGroup()
        } catch {
            throw .system("cannot start the server: \(error)")
        }
    }

    /// Serves a connection, and returns its number.
    @discardableResult
    package func serve(_ socket: consuming StreamSocket) -> UInt64 {
        server.serve(socket, in: group)
    }

    /// Logs how much memory the disk uses.
    package func logMemoryUse() { ServedDisks.log(disk, to: logger) }

    /// Finishes the requests that have been received, and stops. The backing is kept or the memory is
    /// released, as `isKept` says.
    package func stop(isKept: Bool) {
        server.stop()
        log.flush()
        control.stop()
        controlFile?.remove()
        if isKept { disk.keep() } else { disk.remove() }
    }
}
