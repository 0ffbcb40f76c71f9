internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import NBDServer
internal import Synchronization
internal import SystemPackage

/// The embedded server, on sockets that are made here.
final class LocalDiskServer: DiskServer {
    private let server: EmbeddedServer
    private let ended = EndedConnections()

    /// Makes the disk and starts serving it; `stop` is nudged when a connection ends.
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

    func hasEnded(_ connection: ServerConnection) -> Bool { ended.contains(connection.number) }

    var items: [PollSource] { [] }
    var patience: Int? { nil }
    func attend() -> Bool { false }
    // The disk would go with the process.
    func endByForce() {}
    func logFigures() { server.logFigures() }
    func stop(isKept: Bool) { server.stop(isKept: isKept) }
}

/// The numbers of connections that have ended.
final class EndedConnections: Sendable {
    private let numbers = Mutex<Set<UInt64>>([])

    func insert(_ number: UInt64) { numbers.withLock { _ = $0.insert(number) } }
    func contains(_ number: UInt64) -> Bool { numbers.withLock { $0.contains(number) } }
}
