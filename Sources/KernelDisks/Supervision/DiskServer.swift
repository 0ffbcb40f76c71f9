internal import ServerHost
internal import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import NBDServer
internal import NBDClient
internal import SystemPackage

/// A connection to a server, and how the server identifies it.
struct ServerConnection: Sendable {
    /// The client's end, which the kernel gets.
    let connection: NBDConnection
    /// The server's number for the connection.
    let connectionID: UInt64
    let generation: Int
}

/// A server of one disk, as the supervisor sees it. The thread that looks after the disk calls it.
protocol DiskServer: AnyObject {
    /// The state of the disk before it was served.
    var start: InitialDiskState { get }
    /// The text of the device's `backend` attribute. It says which memory is behind the device, so that a
    /// device is served only from the memory that it was attached to.
    var identifier: String { get }
    /// The worker; nil when this process serves.
    var worker: ProcessIdentity? { get }

    /// Opens a connection and negotiates it.
    func connect() throws(Failure) -> ServerConnection

    /// Whether the server is done with a connection. Once this is true, none of the requests on it can change
    /// the disk any more.
    func hasEnded(_ connection: ServerConnection) -> Bool

    /// The events to wait for besides those of connections. When one happens, ``poll()`` is called.
    var pollSources: [PollSource] { get }
    /// Milliseconds after which ``poll()`` is called in any case; nil when only an event requires it.
    var pollTimeout: Int? { get }
    /// Handles what has happened. Returns true when a new worker has replaced the old one.
    func poll() -> Bool

    /// Ends a server that has not ended a dead connection for too long, where that is possible without losing
    /// the disk.
    func endByForce()

    /// Begins to save the disk to its image, if it has one. ``saveOutcome`` has the end of it.
    func beginSave()
    /// The result of the last save; nil while it is in progress. After a failure the last complete save is unchanged.
    var saveOutcome: Result<Void, Failure>? { get }
    /// Sets the mount point of the file system on the disk, which is frozen for the instant of a save; nil when it
    /// is not mounted any more.
    func setMountPoint(_ path: String?)

    /// Asks the server to log how much memory the disk uses.
    func logMemoryUse()

    /// Stops the server. It then releases the memory, unless `isKept` says that the backing stays.
    func stop(isKept: Bool)
}
/// The state of a disk before it was served.
struct InitialDiskState: Equatable {
    /// Whether the disk was blank, so that a file system can be created on it.
    var isBlank = false
    /// Whether the memory existed before this server.
    var wasFound = false
    /// Bytes of the smallest sector that the content of the disk may rely on.
    var sectorSize = 4096
    /// The identity of the disk's memory.
    var identity = DiskIdentity(high: 0, low: 0)

    init(isBlank: Bool, wasFound: Bool) {
        self.isBlank = isBlank
        self.wasFound = wasFound
    }

    /// The state of a disk that was just created from a configuration. A disk with loaded content never
    /// counts as blank.
    init(_ disk: RamDisk, _ plan: DiskConfiguration) {
        isBlank = disk.isBlank && plan.load == nil
        wasFound = disk.inheritance != .none
        sectorSize = disk.sectorSize
        identity = disk.identity
    }
}

extension DiskServer {
    var identifier: String { "ramdisk-nbd:memory=\(start.identity)" }
}

/// Creates a pair of connected sockets, one end of which is for the server.
func socketPair() throws(Failure) -> SocketPair {
    do throws(Errno) {
        return try StreamSocket.pair()
    } catch {
        throw .system("cannot create a socket pair: \(error)")
    }
}

/// Negotiates as the client over one end of a pair.
func handshake(_ socket: consuming StreamSocket) throws(Failure) -> NBDConnection {
    do throws(ClientHandshake.Failure) {
        return try NBDConnection(socket, export: "")
    } catch {
        throw .unavailable("the handshake with the disk's server failed: \(error)")
    }
}
