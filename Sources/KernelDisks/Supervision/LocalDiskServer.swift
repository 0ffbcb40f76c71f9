internal import Confinement
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
    private let stop: SupervisorMailbox
    private let outcome = SaveOutcome()

    /// Creates the disk and starts the server. A thread of the server wakes `stop` when a connection ends. Calls
    /// `onDiskMade` before it publishes the disk and creates files.
    init(
        _ plan: DiskConfiguration, _ serving: ServingConfiguration, logger: Logger,
        stop: SupervisorMailbox, onDiskMade: () -> Void
    ) throws(Failure) {
        self.stop = stop
        let ended = ended
        server = try EmbeddedServer(
            plan, serving, Confinement(mode: .off), logger: logger, onDiskMade: onDiskMade
        ) { connectionID in
            ended.insert(connectionID)
            stop.nudge()
        }
    }

    var start: InitialDiskState { server.start }

    var worker: ProcessIdentity? { nil }

    func connect() throws(Failure) -> ServerConnection {
        let pair = try socketPair()
        let connectionID = server.serve(pair.second)
        return ServerConnection(
            connection: try handshake(pair.first), connectionID: connectionID, generation: 0)
    }

    func hasEnded(_ connection: ServerConnection) -> Bool {
        ended.contains(connection.connectionID)
    }

    var pollSources: [PollSource] { [] }
    var pollTimeout: Int? { nil }
    func poll() -> Bool { false }
    // This process holds the disk, so killing it would lose the disk.
    func endByForce() {}

    func beginSave() {
        outcome.withLock { $0 = nil }
        do throws(Errno) {
            try Thread(name: "save") { [server, outcome, stop] in
                do throws(Failure) {
                    try server.save()
                    outcome.withLock { $0 = .success(()) }
                } catch {
                    outcome.withLock { $0 = .failure(error) }
                }
                stop.nudge()
            }.detach()
        } catch {
            outcome.withLock { $0 = .failure(.system("cannot start a thread: \(error)")) }
        }
    }

    var saveOutcome: Result<Void, Failure>? { outcome.withLock { $0 } }

    func setMountPoint(_ path: String?) {
        guard let path else { return server.freeze(nil) }
        server.freeze { () throws(Failure) in try FrozenFileSystem.freeze(at: path) }
    }

    func logMemoryUse() { server.logMemoryUse() }
    func stop(isKept: Bool) { server.stop(isKept: isKept) }
}

/// The result of a save. The thread that saves sets it; the thread that looks after the disk reads it.
private final class SaveOutcome: Sendable {
    private let outcome = Mutex<Result<Void, Failure>?>(nil)

    func withLock<Value: Sendable>(
        _ body: (inout sending Result<Void, Failure>?) -> sending Value
    ) -> Value { outcome.withLock(body) }
}

/// The numbers of connections that have ended. Threads of the server insert them; the thread that looks after
/// the disk reads them.
final class EndedConnections: Sendable {
    private let numbers = Mutex<Set<UInt64>>([])

    func insert(_ connectionID: UInt64) { numbers.withLock { _ = $0.insert(connectionID) } }
    func contains(_ connectionID: UInt64) -> Bool { numbers.withLock { $0.contains(connectionID) } }
}
