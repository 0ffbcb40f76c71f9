package import ServerHost
package import ProgramSupport
package import LinuxHost
package import LinuxIO
package import NBDKernel
package import NBDServer
internal import NBDClient
internal import SystemPackage

/// A connection to a backend, and which one it is there.
package struct ServerConnection: Sendable {
    /// The end that the kernel gets.
    package let connection: NBDConnection
    /// Number of the connection at the server, and of the server.
    package let number: UInt64
    package let generation: Int
}

/// A server of one disk. Used by one thread, like all that looks after an attached disk.
package protocol DiskServer: AnyObject {
    /// What the disk was like before it was served.
    var start: InitialDiskState { get }
    /// What the kernel knows the device by. It tells which memory is behind the device, so that a device and
    /// memory are only brought together when they belong together.
    var identifier: String { get }
    /// The process that serves, if it is another one.
    var worker: ProcessIdentity? { get }

    /// Makes a connection and does the handshake.
    func connect() throws(Failure) -> ServerConnection

    /// Whether the server is done with a connection: none of its requests can change the disk any
    /// more.
    func hasEnded(_ connection: ServerConnection) -> Bool

    /// What has to be waited for besides connections; when it happens, ``attend()`` is called.
    var items: [PollSource] { get }
    /// Milliseconds after which that is called in any case; nil: none.
    var patience: Int? { get }
    /// Looks at what has happened. Whether the server is another one now.
    func attend() -> Bool

    /// A connection is not ended though it is dead for long: whatever hangs is ended by force, where
    /// that can be done without losing the disk.
    func endByForce()

    /// Has it logged how much memory the disk takes up.
    func logFigures()

    /// Stops. The memory is free after it, unless it is to be kept under its name.
    func stop(isKept: Bool)
}
/// What a disk was like before it was served.
package struct InitialDiskState: Equatable {
    /// Nothing was on it: a file system can be made.
    package var isBlank = false
    /// It was there before this server.
    package var wasFound = false
    /// Bytes of the smallest sectors that what is on it may count on.
    package var sectorSize = 4096
    /// Which memory it is.
    package var identity = DiskIdentity(high: 0, low: 0)

    package init(isBlank: Bool, wasFound: Bool) {
        self.isBlank = isBlank
        self.wasFound = wasFound
    }

    /// Of a disk that was just made after a plan. What was loaded is never taken for nothing.
    package init(_ disk: RamDisk, _ plan: DiskConfiguration) {
        isBlank = disk.isBlank && plan.load == nil
        wasFound = disk.inheritance != .none
        sectorSize = disk.sectorSize
        identity = disk.identity
    }
}

extension DiskServer {
    package var identifier: String { "ramdisk-nbd:memory=\(start.identity)" }
}

/// A pair of sockets, one of which is the server's.
package func socketPair() throws(Failure) -> SocketPair {
    do throws(Errno) {
        return try StreamSocket.pair()
    } catch {
        throw .system("cannot make a pair of sockets: \(error)")
    }
}

/// The client's handshake over one end of a pair.
package func handshake(_ socket: consuming StreamSocket) throws(Failure) -> NBDConnection {
    do throws(ClientHandshake.Failure) {
        return try NBDConnection(socket, export: "")
    } catch {
        throw .unavailable("the handshake with the disk's own server failed: \(error)")
    }
}
