internal import LinuxIO
package import NBDProtocol
package import SystemPackage

/// The properties of a device to set up.
package struct NBDDeviceOptions: Sendable, Equatable {
    /// Size in bytes.
    package var size: UInt64
    /// Block size in bytes: the smallest request, a power of two from 512 to a page (4096).
    package var blockSize: UInt64
    /// The features of the export.
    package var flags: TransmissionFlags
    /// The time in seconds after which the kernel gives up a request's socket, and sends the request again over another
    /// one; 0 for never with one socket, and for 30 seconds with several (`nbd_xmit_timeout`).
    package var requestTimeout: UInt64
    /// Seconds that requests wait for a new socket after all have died, before they fail; 0 for none.
    package var deadConnectionTimeout: UInt64
    /// A text that identifies the owner of the device. The kernel requires the same text to replace the
    /// sockets.
    package var backend: String?

    /// Creates the options for an export. `sectorSize` is the smallest sector size that a user of the device
    /// needs: a power of two from 512 to 4096.
    package init(
        _ export: RemoteExport, requestTimeout: UInt64, deadConnectionTimeout: UInt64,
        backend: String? = nil, sectorSize: Int = 4096
    ) {
        size = export.size
        blockSize = Self.blockSize(of: export, atMost: UInt64(sectorSize))
        flags = export.flags
        self.requestTimeout = requestTimeout
        self.deadConnectionTimeout = deadConnectionTimeout
        self.backend = backend
    }

    /// Returns the largest block size, from `most` down to 512 bytes, that divides the size of the export. By
    /// default that is a page, which file systems use. The server's minimum block size takes precedence.
    static func blockSize(of export: RemoteExport, atMost most: UInt64 = 4096) -> UInt64 {
        let smallest = UInt64(export.blockSizes?.minimum ?? 1)
        var size = most
        while size > 512, export.size % size != 0 { size /= 2 }
        return min(max(size, smallest), 4096)
    }
}

/// The kernel's nbd driver, through its generic netlink family.
package struct NBDDriver: ~Copyable, Sendable {
    private var socket: NetlinkSocket
    private let family: GenericNetlinkFamily

    /// Name of the family. `NBD_GENL_FAMILY_NAME`
    static var familyName: String { "nbd" }

    /// Looks the family up: one exchange with the kernel. Throws `noSuchFileOrDirectory` if the driver is not
    /// loaded and the kernel cannot load it on demand.
    package init() throws(Errno) {
        // Both are created before self is initialized: a noncopyable value cannot be left half initialized.
        var socket = try NetlinkSocket()
        let family = try GenericNetlinkFamily(named: Self.familyName, over: &socket)
        self.socket = socket
        self.family = family
    }

    /// Attaches connections, whose handshakes are complete, to a device or to the first free one, and returns
    /// the device. From then on the kernel has its own references to the sockets. One exchange.
    package mutating func connect(
        _ connections: [NBDConnection], to device: NBDDevice?, _ options: NBDDeviceOptions
    ) throws(Errno) -> NBDDevice {
        // The message contains only descriptors: the connections must stay open until the reply arrives.
        defer { withExtendedLifetime(connections) {} }
        let replies = try family.exchange(
            NBDMessage.connect(connections.map(\.handle), device, options), over: &socket)
        guard let device = NBDMessage.device(in: replies) else { throw .badMessage }
        return device
    }

    /// Replaces dead sockets of a device. The kernel ignores connections beyond the number of dead sockets. One
    /// exchange.
    package mutating func reconfigure(
        _ device: NBDDevice, _ connections: [NBDConnection], _ options: NBDDeviceOptions
    ) throws(Errno) {
        defer { withExtendedLifetime(connections) {} }
        _ = try family.exchange(
            NBDMessage.reconfigure(connections.map(\.handle), device, options), over: &socket)
    }

    /// Changes the timeouts of a device, and keeps its sockets. One exchange.
    package mutating func setTimeouts(
        of device: NBDDevice, _ options: NBDDeviceOptions
    ) throws(Errno) {
        _ = try family.exchange(NBDMessage.reconfigure([], device, options), over: &socket)
    }

    /// Detaches the sockets from a device. Requests in flight fail, and unwritten data is lost. One exchange.
    package mutating func disconnect(_ device: NBDDevice) throws(Errno) {
        _ = try family.exchange(NBDMessage.disconnect(device), over: &socket)
    }

    /// Returns all devices, and whether each is connected. One exchange.
    package mutating func status() throws(Errno) -> [NBDDevice: Bool] {
        let replies = try family.exchange(NBDMessage.status, over: &socket)
        guard let devices = NBDMessage.devices(in: replies) else { throw .badMessage }
        return devices
    }
}
