import LinuxHost
import LinuxIO
import NBDKernel
import ProgramSupport
import SystemPackage

@testable import KernelDisks

/// A clock that a test moves.
final class FakeClock {
    private(set) var now = MonotonicTime(nanoseconds: 1_000_000_000)

    func advance(milliseconds: Int) { now = now.adding(milliseconds: milliseconds) }
}

/// The server's end of a connection.
final class ServerEnd {
    private let socket: StreamSocket

    init(_ socket: consuming StreamSocket) { self.socket = socket }

    /// Sends bytes to the kernel's end.
    func send(_ bytes: [UInt8]) throws {
        let buffer = try MemoryMapping(privateBytes: 4096)
        let region = buffer.region.slice(at: 0, count: bytes.count)
        region.copy(from: bytes)
        guard socket.handle.send(region) == .bytes(bytes.count) else { throw Errno.ioError }
    }

    /// Whether the other end has been shut down in both directions.
    var isShutDown: Bool {
        let source = PollSource.hangUp(socket.handle)
        return (try? PollSource.poll([source], milliseconds: 0))?[0] == true
    }
}

/// A server whose connections end when a test says so.
final class FakeDiskServer: DiskServer {
    /// Every connection that was opened, the first one first.
    private(set) var opened: [ServerConnection] = []
    /// The server's ends of these.
    private(set) var ends: [ServerEnd] = []
    /// The numbers of connections whose requests the server may still execute.
    var working: Set<UInt64> = []
    /// Why no connection can be opened.
    var failure: Failure?
    /// How often the server was to be ended by force.
    private(set) var forcedEnds = 0

    let start = InitialDiskState(isBlank: false, wasFound: true)
    var worker: ProcessIdentity? { nil }
    var pollSources: [PollSource] { [] }
    var pollTimeout: Int? { nil }

    /// Opens a connection to a server that speaks no more of NBD than a greeting and the export's size. It is
    /// working on the connection until the test removes its number from ``working``.
    func connect() throws(Failure) -> ServerConnection {
        if let failure { throw failure }
        let pair = try socketPair()
        let end = ServerEnd(pair.second)
        do {
            // NBD specification: the greeting without FIXED_NEWSTYLE, then the reply to EXPORT_NAME without zeroes.
            try end.send(
                Array("NBDMAGICIHAVEOPT".utf8) + [0, 2] + [0, 0, 0, 0, 0, 16, 0, 0] + [0, 1])
        } catch {
            throw .system("\(error)")
        }
        let connection = ServerConnection(
            connection: try handshake(pair.first), connectionID: UInt64(opened.count), generation: 0
        )
        opened.append(connection)
        ends.append(end)
        working.insert(connection.connectionID)
        return connection
    }

    func hasEnded(_ connection: ServerConnection) -> Bool {
        !working.contains(connection.connectionID)
    }
    func poll() -> Bool { false }
    func endByForce() { forcedEnds += 1 }
    func beginSave() {}
    var saveOutcome: Result<Void, Failure>? { .success(()) }
    func setMountPoint(_ path: String?) {}
    func logMemoryUse() {}
    func stop(isKept: Bool) {}
}

/// The kernel's driver, which adopts one offered connection for each dead one that it has noticed.
struct FakeDriver: ConnectionDriver {
    /// How many dead connections the kernel has noticed and not replaced.
    var noticedDeaths = 0
    /// What the kernel refuses every request with.
    var error: Errno?
    /// Called when the kernel has adopted a connection, and sends requests on it.
    var onAdoption: () -> Void = {}
    /// The connections of each offer.
    private(set) var offers: [[NBDConnection]] = []
    /// The request timeout that the device was last given.
    private(set) var requestTimeout: UInt64?

    mutating func reconfigure(
        _ device: NBDDevice, _ connections: [NBDConnection], _ options: NBDDeviceOptions
    ) throws(Errno) {
        if let error { throw error }
        offers.append(connections)
        requestTimeout = options.requestTimeout
        for connection in connections.prefix(noticedDeaths) {
            noticedDeaths -= 1
            // This is how the kernel marks what it adopts.
            connection.handle.setSendTimeout(milliseconds: Int(options.requestTimeout) * 1000)
            onAdoption()
        }
    }

    mutating func setTimeouts(
        of device: NBDDevice, _ options: NBDDeviceOptions
    ) throws(Errno) {
        if let error { throw error }
        requestTimeout = options.requestTimeout
    }
}
