package import ServerHost
internal import LinuxIO
package import NBDKernel
package import NBDProtocol

/// A disk that is to be attached to this machine's kernel.
package struct KernelDiskConfiguration: Sendable {
    package var disk: DiskConfiguration
    package var serving = ServingConfiguration()
    package var fileSystem: FileSystemConfiguration
    /// Nil: the first free one.
    package var device: NBDDevice?
    /// Connections between kernel and server, each with a queue and a thread.
    package var queues: Int
    /// Seconds; see ``NBDKernel/NBDDeviceOptions``.
    package var requestTimeout: UInt64
    package var deadConnectionTimeout: UInt64
    /// What a server process of its own is started with; nil: this process serves.
    package var worker: SupervisedDiskServer.Command?
    /// The server, when it is not this program's own.
    package var remote: NBDURI?
    /// Whether a device is taken over though nothing says that its owner is gone.
    package var isForced = false
    /// Milliseconds for the kernel to take connections for a device that is attached already.
    package var takeOverMilliseconds = 10_000
    /// Where this process's log goes, if it is a daemon.
    package var log: String?

    package init(
        disk: DiskConfiguration, serving: ServingConfiguration = ServingConfiguration(),
        fileSystem: FileSystemConfiguration, device: NBDDevice? = nil, queues: Int,
        requestTimeout: UInt64, deadConnectionTimeout: UInt64,
        worker: SupervisedDiskServer.Command? = nil, remote: NBDURI? = nil, isForced: Bool = false,
        takeOverMilliseconds: Int = 10_000, log: String? = nil
    ) {
        self.disk = disk
        self.serving = serving
        self.fileSystem = fileSystem
        self.device = device
        self.queues = queues
        self.requestTimeout = requestTimeout
        self.deadConnectionTimeout = deadConnectionTimeout
        self.worker = worker
        self.remote = remote
        self.isForced = isForced
        self.takeOverMilliseconds = takeOverMilliseconds
        self.log = log
    }

    /// Seconds to use where nobody says otherwise. Another server can take over a disk that outlives its
    /// own: soon, if it is there, and it may be long in coming. A disk that goes with its server has
    /// nothing to wait for but a server that is stopped for a while.
    package static func timeouts(outlivesServer: Bool) -> (request: UInt64, deadConnection: UInt64)
    {
        outlivesServer ? (2, 300) : (30, 10)
    }

    /// The same for a server elsewhere. A process that stays makes connections again; without one, nothing would,
    /// and waiting would only delay the error.
    package static func attachTimeouts(stays: Bool) -> (request: UInt64, deadConnection: UInt64) {
        stays ? (10, 300) : (30, 0)
    }
}
