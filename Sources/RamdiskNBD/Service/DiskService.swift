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
        var control: ControlPlan
        var pidFile: String?
    }

    let configuration: Configuration
    let logger: Logger
    private let figures = DiskFigures()
    private let leftovers = Leftovers()

    init(configuration: Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Sets everything up, serves until the shutdown, and takes everything down. Whatever step fails,
    /// what was set up before it goes away with the values that own it.
    func run() async throws {
        let (server, addresses, control) = try await onThread { try start() }
        async let answers: Void = control.run()
        standardOutput(addresses.map { $0.uri + "\n" }.joined())
        try? await gracefulShutdown()
        logger.info("stopping")
        try await onThread { server.stop() }
        // Until the last request is answered, it can be asked.
        control.stop()
        await answers
        figures.leaveInOrder()
        leftovers.remove()
        logger.info("stopped")
    }

    /// Whether there is a server that has to be stopped.
    var isServing: Bool { !figures.isEmpty }

    /// Logs how much memory each disk takes up.
    func logFigures() { figures.log(to: logger) }

    /// Removes the files that the server has made, without taking it down.
    func removeFiles() { leftovers.remove() }

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

    private func start() throws -> (Server, [SocketAddress], ControlPoint) {
        Descriptor.raiseLimit()
        let exports = try configuration.disks.map { try makeExport($0) }
        let listeners = try configuration.addresses.open()
        let metrics = try configuration.control.openMetrics()
        let control = try configuration.control.openSocket {
            logger.notice("there is no control socket", metadata: ["reason": "\($0)"])
        }
        leftovers.note(listeners + (control.map { [$0] } ?? []))
        let pidFile = try configuration.pidFile.map { try PidFile(path: $0) }
        let server = try publish(exports) { try makeServer(exports, listeners) }
        if let pidFile { leftovers.note(pidFile) }
        figures.show(exports)
        let watched = WatchedServer(
            server: server, exports: exports, addresses: listeners.map(\.address.uri),
            maximumConnections: configuration.options.maximumConnections)
        let point = try ControlPoint(
            control: control, metrics: metrics, watched: watched, logger: logger)
        for address in metrics.map(\.address) {
            logger.notice("metrics at http://\(address)/metrics")
        }
        return (server, listeners.map(\.address), point)
    }

    private func makeExport(_ plan: DiskPlan) throws(Failure) -> Export {
        let export = try plan.makeExport(logger: logger)
        if plan.backing?.isKept == false { leftovers.note(export.disk) }
        return export
    }

    private func makeServer(
        _ exports: [Export], _ listeners: [Listener]
    ) throws(Failure) -> Server {
        let log = EventLog(logger: logger)
        do throws(Errno) {
            return try Server(
                exports: exports, listeners: listeners, options: configuration.options,
                onEvent: { log.record($0) })
        } catch {
            throw Failure.system("cannot start the server: \(error)")
        }
    }
}

extension SocketAddress {
    /// The address as an NBD URI (specification: doc/uri.md).
    var uri: String {
        guard var path else { return "nbd://\(self)" }
        if !path.hasPrefix("/") { path = currentDirectory() + "/" + path }
        let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/".utf8)
        let escaped = path.utf8.map { byte in
            if plain.contains(byte) { return String(UnicodeScalar(byte)) }
            let digits = String(byte, radix: 16, uppercase: true)
            return byte < 16 ? "%0\(digits)" : "%\(digits)"
        }
        return "nbd+unix:///?socket=\(escaped.joined())"
    }
}

/// Where the process runs; empty when that directory is gone. getcwd(3)
private func currentDirectory() -> String {
    guard let path = unsafe getcwd(nil, 0) else { return "" }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
}
