package import ServerHost
internal import LinuxIO
package import NBDKernel
package import NBDProtocol

/// The configuration of a kernel disk: the disk, how it is served, and how it is attached.
package struct KernelDiskConfiguration: Sendable {
    var disk: DiskConfiguration
    var serving = ServingConfiguration()
    var fileSystem: FileSystemConfiguration
    /// The wanted device; nil: the first free one.
    var device: NBDDevice?
    /// The number of connections between kernel and server, each with a queue and a server thread.
    var queues: Int
    /// The request timeout in seconds; see ``NBDKernel/NBDDeviceOptions``.
    var requestTimeout: UInt64
    var deadConnectionTimeout: UInt64
    /// The command that starts a worker; nil: this process serves.
    var worker: SupervisedDiskServer.Command?
    /// The remote server; nil: this program serves the disk.
    var remote: NBDURI?
    /// Whether a device is taken over although no record says that its supervisor has died.
    var isForced = false
    /// Whether a new device gets the settings of the block layer that suit memory.
    package var setsUpBlockLayer: Bool
    /// Whether a device that has the wanted export already is taken over; if not, it is in use.
    package var mayTakeOver = true
    /// Milliseconds that the kernel gets to adopt connections for a device that is attached already.
    var takeOverMilliseconds = 10_000
    /// The pool and the member that the disk is; nil when it is not part of a pool.
    package var pool: String?
    /// The path of this process's log, if it is a daemon.
    var log: String?

    package init(
        disk: DiskConfiguration, serving: ServingConfiguration = ServingConfiguration(),
        fileSystem: FileSystemConfiguration, device: NBDDevice? = nil, queues: Int,
        requestTimeout: UInt64, deadConnectionTimeout: UInt64,
        worker: SupervisedDiskServer.Command? = nil, remote: NBDURI? = nil, isForced: Bool = false,
        setsUpBlockLayer: Bool = true, takeOverMilliseconds: Int = 10_000, log: String? = nil
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
        self.setsUpBlockLayer = setsUpBlockLayer
        self.takeOverMilliseconds = takeOverMilliseconds
        self.log = log
    }

    /// An export of another server.
    ///
    /// - Parameter timeouts: in seconds; see ``NBDKernel/NBDDeviceOptions``.
    package static func attaching(
        _ remote: NBDURI, to device: NBDDevice?, connections: Int,
        timeouts: (request: UInt64, deadConnection: UInt64)
    ) -> KernelDiskConfiguration {
        KernelDiskConfiguration(
            disk: DiskConfiguration(
                name: "", size: nil, isSparse: false, isReadOnly: false, load: nil),
            fileSystem: .none, device: device, queues: connections,
            requestTimeout: timeouts.request, deadConnectionTimeout: timeouts.deadConnection,
            remote: remote, takeOverMilliseconds: 1_000)
    }

    /// The default timeouts in seconds. A disk that outlives its server can be taken over by another one:
    /// quickly if that server is ready, but it may also take long to start. A disk that ends with its server
    /// has nothing to wait for but a server that is stopped for a while.
    package static func timeouts(outlivesServer: Bool) -> (request: UInt64, deadConnection: UInt64)
    {
        outlivesServer ? (2, 300) : (30, 10)
    }

    /// The default timeouts in seconds for a remote server. A keeper replaces dead connections. Without one,
    /// nothing does, and waiting would only delay the error.
    package static func attachTimeouts(stays: Bool) -> (request: UInt64, deadConnection: UInt64) {
        stays ? (10, 300) : (30, 0)
    }
}
