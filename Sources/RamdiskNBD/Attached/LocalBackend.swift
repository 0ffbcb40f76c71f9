// A disk that this process serves itself.

internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import NBDServer
internal import Synchronization
internal import SystemPackage

/// The embedded server, on sockets that are made here.
final class LocalBackend: DiskBackend {
    private let server: Server
    private let disk: RamDisk
    private let ended = EndedConnections()
    let start: DiskStart

    /// Makes the disk and starts serving it; `stop` is nudged when a connection ends.
    init(_ plan: DiskPlan, logger: Logger, stop: StopRequest) throws(Failure) {
        let export = try plan.makeExport(logger: logger)
        disk = export.disk
        start = DiskStart(disk, plan)
        let ended = ended
        server = try EmbeddedServer.start(export, logger: logger) { number in
            ended.insert(number)
            stop.nudge()
        }
    }

    var worker: ProcessIdentity? { nil }

    func connect() throws(Failure) -> BackendConnection {
        let pair = try socketPair()
        let number = server.serve(pair.second)
        return BackendConnection(
            connection: try handshake(pair.first), number: number, generation: 0)
    }

    func hasEnded(_ connection: BackendConnection) -> Bool { ended.contains(connection.number) }

    var items: [WaitItem] { [] }
    var patience: Int? { nil }
    func attend() -> Bool { false }
    // The disk would go with the process.
    func endByForce() {}

    func stop(isKept: Bool) {
        server.stop()
        if isKept { disk.keep() } else { disk.remove() }
    }
}

/// The numbers of connections that have ended.
final class EndedConnections: Sendable {
    private let numbers = Mutex<Set<UInt64>>([])

    func insert(_ number: UInt64) { numbers.withLock { _ = $0.insert(number) } }
    func contains(_ number: UInt64) -> Bool { numbers.withLock { $0.contains(number) } }
}

/// A server without addresses.
enum EmbeddedServer {
    /// Publishes the disk and serves it to whoever is handed over; `onEnd` is told the numbers of
    /// connections that have ended.
    static func start(
        _ export: Export, logger: Logger, onEnd: @escaping @Sendable (UInt64) -> Void
    ) throws(Failure) -> Server {
        do throws(BackingError) {
            try export.disk.publish()
        } catch {
            throw Failure(error)
        }
        let log = EventLog(logger: logger)
        do throws(Errno) {
            return try Server(
                exports: [export],
                onEvent: { event in
                    log.record(event)
                    if case .ended(let number, _, _) = event { onEnd(number) }
                })
        } catch {
            // What was there before is not ours to remove.
            if export.disk.inheritance == .none { export.disk.remove() }
            throw .system("cannot start the server: \(error)")
        }
    }
}
