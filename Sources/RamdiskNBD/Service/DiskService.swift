// From a configuration to a running server, and back to nothing.

internal import Glibc
internal import LinuxIO
internal import Logging
internal import NBDServer
internal import ServiceLifecycle
internal import SystemPackage

/// The server with everything around it: disks, addresses, pid file, ready lines.
struct DiskService: Service {
    /// What to serve, and where.
    struct Configuration: Sendable {
        var disks: [DiskPlan]
        var addresses: ListenPlan
        var options: ServerOptions
        var encryption: TLSConfiguration?
        var control: ControlPlan
        var pidFile: String?
        var purpose = Purpose.clients
    }

    /// Milliseconds that a client that is done has to take its last replies out of a pipe.
    private static let lastRepliesMilliseconds = 60_000

    let configuration: Configuration
    let logger: Logger
    private let figures = DiskFigures()
    private let leftovers = Leftovers()
    private let done = Completion()

    init(configuration: Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Sets everything up, serves until the shutdown or the end of what it is there for, and takes
    /// everything down. Whatever step fails, what was set up before it goes away with the values that
    /// own it.
    func run() async throws {
        let running = try await onThread { try start() }
        async let answers: Void = running.control.run()
        do {
            try begin(running)
            await waitUntilOver(running)
        } catch {
            try await stop(running)
            await answers
            throw error
        }
        try await stop(running)
        await answers
        logger.info("stopped")
    }

    /// Whether there is a server that has to be stopped.
    var isServing: Bool { !figures.isEmpty }

    /// Logs how much memory each disk takes up.
    func logFigures() { figures.log(to: logger) }

    /// Removes the files that the server has made, without taking it down.
    func removeFiles() { leftovers.remove() }

    /// This directory goes away with the server's other files.
    func removeLater(_ directory: PrivateDirectory) { leftovers.note(directory) }

    // MARK: - Start

    /// A server, and what is around it.
    private struct Running: Sendable {
        var server: Server
        /// Where it listens, but for sockets that were passed: who passed them knows.
        var addresses: [SocketAddress]
        var log: EventLog
        var control: ControlPoint
        var relay: StreamRelay?
    }

    private func start() throws -> Running {
        Descriptor.raiseLimit()
        // First of all: from here on nothing else is written to the client.
        let client = try takeClient()
        // Before the disks: it fails soonest, and costs nothing when it does.
        let tls = try configuration.encryption.map { try TLSContext.make($0, logger: logger) }
        let exports = try configuration.disks.map { try makeExport($0) }
        let listeners = try openListeners()
        leftovers.note(listeners)
        let doors = try openControl()
        let pidFile = try configuration.pidFile.map { try PidFile(path: $0) }
        let log = EventLog(logger: logger)
        let server = try publish(exports) { try makeServer(exports, listeners, tls, log) }
        if let pidFile { leftovers.note(pidFile) }
        figures.show(exports)
        let watched = WatchedServer(
            server: server, exports: exports, addresses: uris(of: listeners.map(\.address)),
            maximumConnections: configuration.options.maximumConnections)
        var running = Running(
            server: server, addresses: listeners.filter { !$0.isPassed }.map(\.address), log: log,
            control: try ControlPoint(
                control: doors.control, metrics: doors.metrics, watched: watched, logger: logger))
        if let client {
            running.relay = client.relay
            server.serve(client.socket)
        }
        return running
    }

    /// Opens the ways to ask the server about itself.
    private func openControl() throws(Failure) -> (control: Listener?, metrics: [Listener]) {
        let metrics = try configuration.control.openMetrics()
        let control = try configuration.control.openSocket {
            logger.notice("there is no control socket", metadata: ["reason": "\($0)"])
        }
        leftovers.note(control.map { [$0] } ?? [])
        for address in metrics.map(\.address) {
            logger.notice("metrics at http://\(address)/metrics")
        }
        return (control, metrics)
    }

    private func makeExport(_ plan: DiskPlan) throws(Failure) -> Export {
        let export = try plan.makeExport(logger: logger)
        if plan.backing?.isKept == false { leftovers.note(export.disk) }
        return export
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
        do throws(Errno) {
            return try Server(
                exports: exports, listeners: listeners, options: options,
                onEvent: { event in
                    log.record(event)
                    if configuration.purpose.isDone(by: event) { done.fulfil() }
                })
        } catch {
            throw Failure.system("cannot start the server: \(error)")
        }
    }

    private func uris(of addresses: [SocketAddress]) -> [String] {
        addresses.map { $0.uri(isEncrypted: configuration.encryption != nil) }
    }

    private func openListeners() throws(Failure) -> [Listener] {
        if case .standardStreams = configuration.purpose { return [] }
        return try configuration.addresses.open(logger: logger)
    }

    /// The client on standard input and output, if the server is there for one.
    private func takeClient() throws(Failure) -> StandardStreams.Connection? {
        guard case .standardStreams = configuration.purpose else { return nil }
        guard !PassedListeners.areThere else {
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
            standardOutput(uris.map { $0 + "\n" }.joined())
            NotifySocket.tell("READY=1")
        case .standardStreams: break
        case .command(let command):
            try command.start(
                socketPath: running.addresses[0].path ?? "", uri: uris[0], done: done)
        }
    }

    private func waitUntilOver(_ running: Running) async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try? await gracefulShutdown() }
            tasks.addTask {
                await done.wait()
                // Its last replies may still be on their way through a slow pipe.
                guard !Task.isCancelled, let relay = running.relay else { return }
                try? await onThread { relay.finish(milliseconds: Self.lastRepliesMilliseconds) }
            }
            await tasks.next()
            tasks.cancelAll()
        }
    }

    private func stop(_ running: Running) async throws {
        logger.info("stopping")
        if case .clients = configuration.purpose { NotifySocket.tell("STOPPING=1") }
        try await onThread {
            running.server.stop()
            running.relay?.finish(milliseconds: configuration.options.stopMilliseconds)
        }
        running.log.flush()
        // Until the last request is answered, it can be asked.
        running.control.stop()
        figures.leaveInOrder()
        leftovers.remove()
    }
}

extension SocketAddress {
    /// The address as an NBD URI (specification: doc/uri.md), which cannot say a name outside of the
    /// file system: that is left as it is.
    func uri(isEncrypted: Bool) -> String {
        guard abstractName == nil else { return description }
        let scheme = isEncrypted ? "nbds" : "nbd"
        guard var path else { return "\(scheme)://\(self)" }
        if !path.hasPrefix("/") { path = currentDirectory() + "/" + path }
        let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/".utf8)
        let escaped = path.utf8.map { byte in
            if plain.contains(byte) { return String(UnicodeScalar(byte)) }
            let digits = String(byte, radix: 16, uppercase: true)
            return byte < 16 ? "%0\(digits)" : "%\(digits)"
        }
        return "\(scheme)+unix:///?socket=\(escaped.joined())"
    }
}

/// Where the process runs; empty when that directory is gone. getcwd(3)
private func currentDirectory() -> String {
    guard let path = unsafe getcwd(nil, 0) else { return "" }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
}
