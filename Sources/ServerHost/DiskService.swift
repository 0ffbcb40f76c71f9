package import Observability
package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
package import Logging
package import NBDServer
internal import SystemPackage

/// The server with everything around it: disks, addresses, pid file, ready lines.
///
/// It has plain threads and no tasks: what Swift's tasks run on wakes up once a second from its first use
/// on, and an idle server is not to wake up at all.
package struct DiskService: Sendable {
    /// What to serve, and where.
    package struct Configuration: Sendable {
        package var disks: [DiskConfiguration]
        package var addresses: ListenConfiguration
        package var options: ServerOptions
        package var encryption: TLSConfiguration?
        package var control: ControlConfiguration
        package var pidFile: String?
        package var purpose = ServingMode.clients
        /// What this machine may do with the disks, so that the server must not have to wait for memory.
        package var protection = Protection.none

        package init(
            disks: [DiskConfiguration], addresses: ListenConfiguration, options: ServerOptions,
            encryption: TLSConfiguration? = nil, control: ControlConfiguration,
            pidFile: String? = nil, purpose: ServingMode = ServingMode.clients,
            protection: Protection = Protection.none
        ) {
            self.disks = disks
            self.addresses = addresses
            self.options = options
            self.encryption = encryption
            self.control = control
            self.pidFile = pidFile
            self.purpose = purpose
            self.protection = protection
        }
    }

    /// Milliseconds that a client that is done has to take its last replies out of a pipe.
    private static let lastRepliesMilliseconds = 60_000

    package let configuration: Configuration
    package let logger: Logger
    private let figures = DiskFigures()
    private let leftovers = CleanupStack()
    /// The client on standard input and output, if it is there for one, is done.
    private let clientIsDone: OneShotEvent
    /// It is to end, for whatever reason.
    private let over: OneShotEvent

    package init(configuration: Configuration, logger: Logger) throws(Failure) {
        self.configuration = configuration
        self.logger = logger
        do throws(Errno) {
            clientIsDone = try OneShotEvent()
            over = try OneShotEvent()
        } catch {
            throw .system("cannot make a descriptor to wait on: \(error)")
        }
    }

    /// Sets everything up, serves until it is over, and takes everything down. Whatever step fails, what
    /// was set up before it goes away with the values that own it.
    package func run() throws {
        LogHold.begin(logger)
        let running = try start()
        defer { stop(running) }
        if configuration.protection == .none { ResidentMemory.releaseStartupPages() }
        try running.control.start()
        try begin(running)
        // Only now: a start that fails or is interrupted leaves what it has found.
        noteForRemoval(running.exports) { $0.inheritance != .none }
        over.wait()
    }

    /// Ends ``run()`` in order; false when that was wished before. Safe from any thread.
    package func end() -> Bool { over.signal() }

    /// Whether there is a server that has to be stopped.
    package var isServing: Bool { !figures.isEmpty }

    /// Logs how much memory each disk takes up.
    package func logFigures() { figures.log(to: logger) }

    /// Removes the files that the server has made, without taking it down.
    package func removeFiles() { leftovers.remove() }

    /// This directory goes away with the server's other files.
    package func removeLater(_ directory: PrivateDirectory) { leftovers.note(directory) }

    // MARK: - Start

    /// A server, and what is around it.
    private struct Running: Sendable {
        package var server: Server
        package var exports: [Export]
        /// Where it listens, but for sockets that were passed: who passed them knows.
        package var addresses: [SocketAddress]
        package var log: EventLog
        package var control: ControlEndpoint
        package var relay: StreamRelay?
    }

    private func start() throws -> Running {
        Descriptor.raiseLimit()
        // First of all: from here on nothing else is written to the client.
        let client = try takeClient()
        // Before the disks: it fails soonest, and costs nothing when it does.
        let tls = try configuration.encryption.map { try TLSContext.make($0, logger: logger) }
        configuration.protection.begin(logger: logger)
        try Placement.begin(on: configuration.options.processors)
        let exports = try makeExports()
        configuration.protection.disksAreThere(logger: logger)
        let listeners = try openListeners()
        leftovers.note(listeners)
        let doors = try configuration.control.open(logger: logger)
        leftovers.note(doors.control.map { [$0] } ?? [])
        if let path = configuration.pidFile { leftovers.note(try PidFile(path: path)) }
        var running = try publish(exports) { try serve(exports, listeners, doors, tls) }
        figures.show(exports)
        if let client {
            running.relay = client.relay
            running.server.serve(client.socket)
        }
        return running
    }

    /// The last step: from here on clients are served.
    private func serve(
        _ exports: [Export], _ listeners: [Listener],
        _ doors: (control: Listener?, metrics: [Listener]), _ tls: TLSContext?
    ) throws -> Running {
        let log = EventLog(logger: logger)
        let server = try makeServer(exports, listeners, tls, log)
        let monitored = MonitoredServer(
            server: server, exports: exports, addresses: uris(of: listeners.map(\.address)),
            maximumConnections: configuration.options.maximumConnections)
        return Running(
            server: server, exports: exports,
            addresses: listeners.filter { !$0.isPassed }.map(\.address), log: log,
            control: try ControlEndpoint(
                control: doors.control, metrics: doors.metrics, monitored: monitored,
                logger: logger))
    }

    /// Makes or finds the disks. Until the server serves, a start that is interrupted removes only what it
    /// has made: a disk that was found may hold what is nowhere else.
    package func makeExports() throws(Failure) -> [Export] {
        var exports: [Export] = []
        let wantsLock = configuration.protection != .none
        for plan in configuration.disks {
            exports.append(try plan.makeExport(logger: logger, wantsLock: wantsLock))
        }
        noteForRemoval(exports) { $0.inheritance == .none }
        return exports
    }

    /// These disks go when the server ends, unless they are kept.
    private func noteForRemoval(_ exports: [Export], where isMeant: (RamDisk) -> Bool) {
        for (plan, export) in zip(configuration.disks, exports)
        where plan.backing?.isKept == false && isMeant(export.disk) {
            leftovers.note(export.disk)
        }
    }

    /// Lets backings outlive the process, just before somebody can write to them; a new one goes again
    /// when the last step fails.
    private func publish<Result>(
        _ exports: [Export], _ lastStep: () throws -> Result
    ) throws -> Result {
        do {
            for export in exports { try export.disk.publish() }
            return try lastStep()
        } catch {
            for export in exports where export.disk.inheritance == .none { export.disk.remove() }
            throw (error as? BackingError).map { Failure($0) } ?? error
        }
    }

    private func makeServer(
        _ exports: [Export], _ listeners: [Listener], _ tls: TLSContext?, _ log: EventLog
    ) throws(Failure) -> Server {
        var options = configuration.options
        options.tls = tls
        configuration.protection.apply(to: &options)
        do throws(ServerError) {
            let server = try Server(
                exports: exports, listeners: listeners, options: options,
                onEvent: { event in
                    log.record(event)
                    if configuration.purpose.isDone(by: event) { clientIsDone.signal() }
                })
            try server.start()
            return server
        } catch {
            throw Failure.system("\(error)")
        }
    }

    private func uris(of addresses: [SocketAddress]) -> [String] {
        // All addresses of one family and all of the other are one to clients.
        addresses.map { $0.uri(isEncrypted: configuration.encryption != nil) }
            .reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    private func openListeners() throws(Failure) -> [Listener] {
        if case .standardStreams = configuration.purpose { return [] }
        let listeners = try configuration.addresses.open(logger: logger)
        try configuration.options.admission.check(for: listeners)
        return listeners
    }

    /// The client on standard input and output, if the server is there for one.
    private func takeClient() throws(Failure) -> StandardStreams.Connection? {
        guard case .standardStreams = configuration.purpose else { return nil }
        guard !PassedListeners.arePresent else {
            throw .usage(
                "sockets were passed by LISTEN_FDS, and --stdio serves standard input and output: "
                    + "leave --stdio out")
        }
        guard !StandardStreams.areTerminal else {
            throw .usage(
                "--stdio speaks NBD on standard input and output, but one of them is a terminal: "
                    + "have inetd, ssh or an NBD client start it")
        }
        do throws(Errno) {
            return try StandardStreams.take()
        } catch {
            throw .system("cannot use standard input and output: \(error)")
        }
    }

    // MARK: - From start to end

    /// Tells whom it concerns that the disks are served.
    private func begin(_ running: Running) throws(Failure) {
        let uris = uris(of: running.addresses)
        switch configuration.purpose {
        case .clients:
            LogHold.end()
            announce(uris)
            NotifySocket.send("READY=1")
        case .standardStreams:
            try endAfterLastReplies(running.relay)
            LogHold.end()
        case .command(let command):
            try command.start(
                socketPath: running.addresses[0].path ?? "", uri: uris[0], done: over)
            LogHold.end()
        }
    }

    /// Prints the addresses. Where that fails, the disks are served all the same, and the log has them.
    private func announce(_ uris: [String]) {
        guard !uris.isEmpty, let error = StandardOutput.write(uris.map { $0 + "\n" }.joined())
        else { return }
        logger.warning(
            "cannot write the addresses to standard output",
            metadata: [
                "addresses": "\(uris.joined(separator: " "))", "error": "\(error)",
            ])
    }

    /// Ends when the client is done, and its last replies have had the time to get through a slow pipe.
    private func endAfterLastReplies(_ relay: StreamRelay?) throws(Failure) {
        do throws(Errno) {
            _ = try Thread(name: "last-replies") { [clientIsDone, over] in
                clientIsDone.wait()
                relay?.finish(milliseconds: Self.lastRepliesMilliseconds)
                over.signal()
            }
        } catch {
            throw .system("cannot start a thread: \(error)")
        }
    }

    private func stop(_ running: Running) {
        logger.info("stopping")
        if case .clients = configuration.purpose { NotifySocket.send("STOPPING=1") }
        running.server.stop()
        running.relay?.finish(milliseconds: configuration.options.stopGracePeriod.wholeMilliseconds)
        running.log.flush()
        // Until the last request is answered, it can be asked.
        running.control.stop()
        figures.leaveInOrder()
        leftovers.remove()
        logger.info("stopped")
    }
}
