package import Confinement
internal import DiskContents
package import Observability
package import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
package import Logging
package import NBDServer
internal import SystemPackage

/// A server with everything around it: disks, addresses, pid file, ready lines.
///
/// It uses threads and no tasks: once used, the thread pool of Swift's tasks wakes up once a second, and an idle
/// server must not wake up at all.
package struct DiskService: Sendable {
    /// The disks to serve, the addresses and the options.
    package struct Configuration: Sendable {
        var disks: [DiskConfiguration]
        var addresses: ListenConfiguration
        var options: ServerOptions
        var encryption: TLSConfiguration?
        var control: ControlConfiguration
        var pidFile: String?
        var purpose = ServingMode.clients
        /// The way in which this machine uses the disks, which decides whether the server may wait for memory.
        var protection = Protection.none
        var sandbox: SandboxMode
        /// The user that a server started by root switches to.
        package var user: ServerUser?

        package init(
            disks: [DiskConfiguration], addresses: ListenConfiguration, options: ServerOptions,
            encryption: TLSConfiguration? = nil, control: ControlConfiguration,
            pidFile: String? = nil, purpose: ServingMode = ServingMode.clients,
            protection: Protection = Protection.none, sandbox: SandboxMode
        ) {
            self.disks = disks
            self.addresses = addresses
            self.options = options
            self.encryption = encryption
            self.control = control
            self.pidFile = pidFile
            self.purpose = purpose
            self.protection = protection
            self.sandbox = sandbox
        }
    }

    /// Milliseconds that a client that has disconnected has to read its last replies from a pipe.
    private static let lastRepliesMilliseconds = 60_000

    let configuration: Configuration
    let logger: Logger
    private let servedDisks = ServedDisks()
    private let leftovers = CleanupStack()
    /// Signalled when the client on standard input and output has disconnected.
    private let clientIsDone: OneShotEvent
    /// Fulfilled when the service shall end, for whatever reason.
    private let over: OneShotEvent

    package init(configuration: Configuration, logger: Logger) throws(Failure) {
        self.configuration = configuration
        self.logger = logger
        do throws(Errno) {
            clientIsDone = try OneShotEvent()
            over = try OneShotEvent()
        } catch {
            throw .system("cannot create an event descriptor: \(error)")
        }
    }

    /// Starts the server, waits for its end, and stops it.
    func run() throws {
        LogHold.begin(logger)
        let running: Running
        do throws(Failure) {
            running = try start()
        } catch {
            _ = configuration.purpose.command?.forward(SIGTERM)
            throw error
        }
        defer { stop(running) }
        try begin(running)
        // Not sooner: a start that fails or is interrupted must not remove a disk that it has found.
        noteForRemoval(running.hosted.exports) { $0.inheritance != .none }
        over.wait()
    }

    /// Ends ``run()`` gracefully. Returns false if it was already ending. Any thread may call it.
    func end() -> Bool { over.signal() }

    /// Whether a server is running that must be stopped.
    var isServing: Bool { !servedDisks.isEmpty }

    /// Logs how much memory each disk uses.
    func logMemoryUse() { servedDisks.log(to: logger) }

    /// Removes the files that the server has created, without stopping it.
    func removeFiles() { leftovers.remove() }

    /// Adds a directory to remove with the server's other files.
    package func removeLater(_ directory: PrivateDirectory) { leftovers.note(directory) }

    // MARK: - Start

    /// A running server, and the relay of its client on standard input and output.
    private struct Running: Sendable {
        var hosted: HostedServer
        var relay: StreamRelay?
    }

    private func start() throws(Failure) -> Running {
        // First: from here on, nothing but the server writes to the client.
        let client = try takeClient()
        // Making a large disk takes long, and filling it from a file or an image takes longer.
        let deadline = TimeoutExtension()
        defer { deadline.end() }
        let hosted = try HostedServer(
            HostedServer.Configuration(
                options: configuration.options, encryption: configuration.encryption,
                control: configuration.control, protection: configuration.protection,
                confinement: confinement),
            logger: logger, cleanup: leftovers,
            makeDisks: { () throws(Failure) in try makeExports() },
            listen: { () throws(Failure) in try openListeners() },
            prepare: { (exports, listeners) throws(Failure) in
                if let path = configuration.pidFile { leftovers.note(try PidFile(path: path)) }
                // Before the first client: from here on, a signal stops the server gracefully.
                servedDisks.show(exports)
                // Before the server confines itself: a command is not confined. It waits until the server accepts it.
                try startCommand(with: listeners)
            },
            onEvent: { [configuration, clientIsDone] event in
                if configuration.purpose.isDone(by: event) { clientIsDone.signal() }
            })
        var running = Running(hosted: hosted)
        if let client {
            running.relay = client.relay
            hosted.server.serve(client.socket)
        }
        return running
    }

    /// The confinement of the server once it is ready.
    private var confinement: Confinement {
        let command = configuration.purpose.command
        var confinement = Confinement(
            configuration.sandbox, disks: configuration.disks, command: { command?.pid })
        confinement.user = configuration.user
        if let path = configuration.pidFile { confinement.add(pidFile: path) }
        if command != nil, let path = configuration.addresses.unix.first {
            confinement.addCommand(socketPath: path)
        }
        return confinement
    }

    private func startCommand(with listeners: [Listener]) throws(Failure) {
        guard let command = configuration.purpose.command,
            let address = listeners.first(where: { !$0.isPassed })?.address
        else { return }
        try command.start(
            socketPath: address.path ?? "", uri: HostedServer.uri(of: address, isEncrypted: false),
            done: over)
    }

    /// Makes or finds the disks. Until the server serves, an interrupted start removes only disks that it has
    /// made: a disk that it has found may hold the only copy of the data.
    func makeExports() throws(Failure) -> [MadeDisk] {
        var exports: [MadeDisk] = []
        var ownsTerminal = false
        if case .clients = configuration.purpose { ownsTerminal = true }
        for plan in configuration.disks {
            exports.append(
                try plan.makeExport(
                    logger: logger, protection: configuration.protection,
                    showsProgress: ownsTerminal))
        }
        noteForRemoval(exports.map(\.export)) { $0.inheritance == .none }
        return exports
    }

    /// Adds the backings of these disks to remove at the end, unless they are kept.
    private func noteForRemoval(_ exports: [Export], where isMeant: (RamDisk) -> Bool) {
        for (plan, export) in zip(configuration.disks, exports) {
            guard plan.backing?.isKept == false, let disk = export.ramDisk, isMeant(disk) else {
                continue
            }
            leftovers.note(disk)
        }
    }

    private func openListeners() throws(Failure) -> [Listener] {
        if case .standardStreams = configuration.purpose { return [] }
        let listeners = try configuration.addresses.open(logger: logger)
        try configuration.options.admission.check(for: listeners)
        return listeners
    }

    /// Takes standard input and output as the connection of a client; nil when the server listens instead.
    private func takeClient() throws(Failure) -> StandardStreams.Connection? {
        guard case .standardStreams = configuration.purpose else { return nil }
        guard !PassedListeners.arePresent else {
            throw .usage(
                "LISTEN_FDS passes sockets, but --stdio serves standard input and output: leave out "
                    + "--stdio")
        }
        guard !StandardStreams.areTerminal else {
            throw .usage(
                "--stdio serves NBD on standard input and output, but one of them is a terminal: "
                    + "start it from inetd, ssh or an NBD client")
        }
        do throws(Errno) {
            return try StandardStreams.take()
        } catch {
            throw .system("cannot use standard input and output: \(error)")
        }
    }

    // MARK: - Ready, and stop

    /// Announces that the server is ready: prints the addresses, and notifies systemd.
    private func begin(_ running: Running) throws(Failure) {
        switch configuration.purpose {
        case .clients:
            LogHold.end()
            announce(running.hosted.uris)
            NotifySocket.send("READY=1")
        case .standardStreams:
            try endAfterLastReplies(running.relay)
            LogHold.end()
        case .command: LogHold.end()
        }
    }

    /// Prints the addresses. If that fails, the server logs them and continues.
    private func announce(_ uris: [String]) {
        guard !uris.isEmpty, let error = StandardOutput.write(uris.map { $0 + "\n" }.joined())
        else { return }
        logger.warning(
            "cannot write the addresses to standard output",
            metadata: [
                "addresses": "\(uris.joined(separator: " "))", "error": "\(error)",
            ])
    }

    /// Ends the service when the client has disconnected and had time to read its last replies from a slow pipe.
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
        // A save may be in progress, and one follows; commands may wait for a restore.
        let deadline = TimeoutExtension()
        defer { deadline.end() }
        running.hosted.stop {
            running.relay?.finish(
                milliseconds: configuration.options.stopGracePeriod.wholeMilliseconds)
        }
        saveDisks(running.hosted)
        servedDisks.keepBackings()
        leftovers.remove()
        logger.info("stopped")
    }

    /// Saves the disks that have images, and retries until that succeeds: this process has the only copy of what was
    /// written. A second signal ends the process without a save.
    private func saveDisks(_ hosted: HostedServer) {
        guard !hosted.contents.saved.isEmpty else { return }
        var lastReason = ""
        while true {
            do throws(Failure) {
                return try hosted.contents.save()
            } catch {
                if error.sentence != lastReason {
                    logger.error(
                        "the disk is not saved, and its data exists only in this process: trying again every second; a second signal ends the server without saving",
                        metadata: ["reason": "\(error.sentence)"])
                    lastReason = error.sentence
                }
            }
            Thread.sleep(milliseconds: 1_000)
        }
    }
}
