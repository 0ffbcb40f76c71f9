internal import LinuxIO
internal import NBDKernel
internal import NBDProtocol

/// A disk that is to be attached to this machine's kernel.
struct KernelDiskConfiguration: Sendable {
    var disk: DiskConfiguration
    var serving = ServingConfiguration()
    var fileSystem: FileSystemConfiguration
    /// Nil: the first free one.
    var device: NBDDevice?
    /// Connections between kernel and server, each with a queue and a thread.
    var queues: Int
    /// Seconds; see ``NBDKernel/NBDDeviceOptions``.
    var requestTimeout: UInt64
    var deadConnectionTimeout: UInt64
    /// What a server process of its own is started with; nil: this process serves.
    var worker: SupervisedDiskServer.Command?
    /// The server, when it is not this program's own.
    var remote: NBDURI?
    /// Whether a device is taken over though nothing says that its owner is gone.
    var isForced = false
    /// Milliseconds for the kernel to take connections for a device that is attached already.
    var takeOverMilliseconds = 10_000
    /// Where this process's log goes, if it is a daemon.
    var log: String?

    /// Seconds to use where nobody says otherwise. Another server can take over a disk that outlives its
    /// own: soon, if it is there, and it may be long in coming. A disk that goes with its server has
    /// nothing to wait for but a server that is stopped for a while.
    static func timeouts(outlivesServer: Bool) -> (request: UInt64, deadConnection: UInt64) {
        outlivesServer ? (2, 300) : (30, 10)
    }

    /// The same for a server elsewhere. A process that stays makes connections again; without one, nothing would,
    /// and waiting would only delay the error.
    static func attachTimeouts(stays: Bool) -> (request: UInt64, deadConnection: UInt64) {
        stays ? (10, 300) : (30, 0)
    }
}
