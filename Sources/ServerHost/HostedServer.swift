package import Confinement
package import DiskContents
package import Observability
package import ProgramSupport
internal import LinuxHost
package import LinuxIO
package import Logging
package import NBDServer
internal import SystemPackage

/// A running server with its disks, listeners and observability endpoints.
///
/// `serve`, `run`, `up` and its worker all start and stop their server here.
package final class HostedServer: Sendable {
    package struct Configuration: Sendable {
        var options: ServerOptions
        var encryption: TLSConfiguration?
        var control: ControlConfiguration
        var protection: Protection
        /// The confinement of the server once it is ready, apart from what this configuration implies.
        var confinement: Confinement
        /// Whether normal events are logged at debug level only.
        var isQuiet: Bool

        package init(
            options: ServerOptions, encryption: TLSConfiguration? = nil,
            control: ControlConfiguration, protection: Protection, confinement: Confinement,
            isQuiet: Bool = false
        ) {
            self.options = options
            self.encryption = encryption
            self.control = control
            self.protection = protection
            self.confinement = confinement
            self.isQuiet = isQuiet
        }
    }

    package let server: Server
    package let exports: [Export]
    /// The addresses that it listens on, without those of passed sockets, which the service manager knows.
    let addresses: [SocketAddress]
    private let isEncrypted: Bool
    private let log: EventLog
    private let control: ControlEndpoint
    /// The snapshots and saves of its disks.
    package let contents: ServedContents

    /// Starts a server. When a step fails, the steps before it are undone: new disks and the files in `cleanup`
    /// are removed. A disk that was found is never removed, as it may hold the only copy of the data.
    ///
    /// - Parameters:
    ///   - cleanup: takes the files that the start creates. A signal's thread may remove them at any time.
    ///   - makeDisks: makes or finds the disks.
    ///   - listen: opens the listeners. An error here, after the disks are made, is one about addresses.
    ///   - prepare: called with the disks and the listeners just before the disks are published and served.
    ///   - onEvent: called on the server's threads.
    package init(
        _ configuration: Configuration, logger: Logger, cleanup: CleanupStack,
        makeDisks: () throws(Failure) -> [MadeDisk],
        listen: () throws(Failure) -> [Listener] = { () throws(Failure) in [] },
        prepare: ([Export], [Listener]) throws(Failure) -> Void,
        onEvent: @escaping @Sendable (ServerEvent) -> Void
    ) throws(Failure) {
        var made: [Export] = []
        var started: (server: Server, contents: ServedContents)?
        do throws(Failure) {
            let options = try Self.begin(configuration, logger: logger)
            let disks = try makeDisks()
            made = disks.map(\.export)
            configuration.protection.disksAreThere(logger: logger)
            let listeners = try listen()
            cleanup.note(listeners)
            let endpoints = try configuration.control.open(logger: logger)
            cleanup.note(endpoints.control.map { [$0] } ?? [])
            try prepare(made, listeners)
            try Self.publish(made)
            let sandbox = try Self.confine(configuration, listeners, endpoints.control, logger)
            let log = EventLog(logger: logger, isQuiet: configuration.isQuiet)
            let server = try Self.serve(made, listeners, options, log, onEvent)
            contents = Self.contents(of: server, disks, configuration, logger)
            started = (server, contents)
            isEncrypted = configuration.encryption != nil
            control = try ControlEndpoint(
                control: endpoints.control, metrics: endpoints.metrics,
                monitored: Self.monitored(server, contents, listeners, options, sandbox),
                logger: logger)
            if configuration.protection == .none { ResidentMemory.releaseStartupPages() }
            try control.start()
            try contents.begin()
            self.server = server
            self.exports = made
            self.addresses = listeners.filter { !$0.isPassed }.map(\.address)
            self.log = log
        } catch {
            started?.contents.stop()
            started?.server.stop()
            for disk in made.compactMap(\.ramDisk) where disk.inheritance == .none { disk.remove() }
            cleanup.remove()
            throw error
        }
    }

    private static func contents(
        of server: Server, _ disks: [MadeDisk], _ configuration: Configuration, _ logger: Logger
    ) -> ServedContents {
        ServedContents(
            of: server, saved: disks.compactMap(\.saved),
            locksMemory: configuration.protection != .none, logger: logger)
    }

    /// Returns the server as its control socket sees it.
    private static func monitored(
        _ server: Server, _ contents: ServedContents, _ listeners: [Listener],
        _ options: ServerOptions, _ sandbox: String
    ) -> MonitoredServer {
        MonitoredServer(
            server: server, sandbox: sandbox,
            addresses: uris(of: listeners.map(\.address), isEncrypted: options.tls != nil),
            maximumConnections: options.maximumConnections, saves: { contents.saves },
            snapshots: { contents.allSnapshots }, commands: contents.commands)
    }

    /// Performs the steps before the disks are made, and returns the server's options. An error here costs the least
    /// time.
    private static func begin(
        _ configuration: Configuration, logger: Logger
    ) throws(Failure) -> ServerOptions {
        Descriptor.raiseLimit()
        var options = configuration.options
        if let encryption = configuration.encryption {
            options.tls = try TLSContext.make(encryption, logger: logger)
        }
        configuration.protection.begin(logger: logger)
        configuration.protection.apply(to: &options)
        try Placement.begin(on: options.processors)
        return options
    }

    /// Confines the process, before the first client. Returns what is in force.
    private static func confine(
        _ configuration: Configuration, _ listeners: [Listener], _ control: Listener?,
        _ logger: Logger
    ) throws(Failure) -> String {
        var confinement = configuration.confinement
        confinement.add(listeners + (control.map { [$0] } ?? []))
        if let encryption = configuration.encryption {
            confinement.add(encryption)
            // The memory has keys.
            ProcessSecrecy.begin()
            KernelTLS.loadModule()
        }
        confinement.add(configuration.protection)
        // Later it could not: that takes a socket.
        if confinement.mode == .on { NotifySocket.connect() }
        try confinement.changeUser()
        let inForce = confinement.apply(logger: logger)
        logger.log(
            level: configuration.isQuiet || confinement.mode == .off ? .debug : .info, "ready",
            metadata: ["sandbox": "\(inForce)"])
        return inForce
    }

    /// Lets backings outlive the process, just before clients can write to them.
    private static func publish(_ exports: [Export]) throws(Failure) {
        do throws(BackingError) {
            for export in exports { try export.ramDisk?.publish() }
        } catch {
            throw Failure(error)
        }
    }

    private static func serve(
        _ exports: [Export], _ listeners: [Listener], _ options: ServerOptions, _ log: EventLog,
        _ onEvent: @escaping @Sendable (ServerEvent) -> Void
    ) throws(Failure) -> Server {
        do throws(ServerError) {
            let server = try Server(exports: exports, listeners: listeners, options: options) {
                event in
                log.record(event)
                onEvent(event)
            }
            try server.start()
            return server
        } catch {
            throw .system("\(error)")
        }
    }

    /// The URIs for clients.
    var uris: [String] { Self.uris(of: addresses, isEncrypted: isEncrypted) }

    private static func uris(of addresses: [SocketAddress], isEncrypted: Bool) -> [String] {
        addresses.map { uri(of: $0, isEncrypted: isEncrypted) }
            // The wildcard addresses of IPv4 and IPv6 have the same URI.
            .reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// Returns the URI of an address, with a path that does not depend on a client's directory. An abstract Unix
    /// address has no URI, and is returned as it is.
    static func uri(of address: SocketAddress, isEncrypted: Bool) -> String {
        let endpoint = address.path.map { .unix(fromRoot($0)) } ?? Endpoint(address)
        return endpoint.uri(isEncrypted: isEncrypted) ?? "\(address)"
    }

    /// Finishes the requests that have been received, and stops. The disks and the files remain.
    ///
    /// - Parameter finish: called when the server has stopped, to pass its last replies on.
    package func stop(finish: () -> Void = {}) {
        contents.stop()
        server.stop()
        finish()
        log.flush()
        // After the server: the control socket responds until the last request is done.
        control.stop()
    }
}
