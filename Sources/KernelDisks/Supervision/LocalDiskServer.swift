internal import ServerHost
internal import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import NBDServer
internal import Synchronization
internal import SystemPackage

/// The embedded server of a supervisor without a worker, over socket pairs within this process.
final class LocalDiskServer: DiskServer {
    private let server: EmbeddedServer
    private let ended = EndedConnections()

    /// Creates the disk and starts the server. A thread of the server wakes `stop` when a connection ends.
    init(
        _ plan: DiskConfiguration, _ serving: ServingConfiguration, logger: Logger,
        stop: SupervisorMailbox
    ) throws(Failure) {
        let ended = ended
        server = try EmbeddedServer(plan, serving, logger: logger) { number in
            ended.insert(number)
            stop.nudge()
        }
    }

    var start: InitialDiskState { server.start }

    var worker: ProcessIdentity? { nil }

    func connect() throws(Failure) -> ServerConnection {
        let pair = try socketPair()
        let number = server.serve(pair.second)
        return ServerConnection(
            connection: try handshake(pair.first), number: number, generation: 0)
    }

    func hasEnded(_ connection: ServerConnection) -> Bool {
        ended.contains(connection.number)
    }

    var pollSources: [PollSource] { [] }
    var pollTimeout: Int? { nil }
    func poll() -> Bool { false }
    // This process holds the disk, so killing it would lose the disk.
    func endByForce() {}
    func logMemoryUse() { server.logMemoryUse() }
    func stop(isKept: Bool) { server.stop(isKept: isKept) }
}

/// The numbers of connections that have ended. Threads of the server insert them; the thread that looks after
/// the disk reads them.
final class EndedConnections: Sendable {
    private let numbers = Mutex<Set<UInt64>>([])

    func insert(_ number: UInt64) { numbers.withLock { _ = $0.insert(number) } }
    func contains(_ number: UInt64) -> Bool { numbers.withLock { $0.contains(number) } }
}
