internal import LinuxIO
public import NBDProtocol
public import SystemPackage

/// What a device is to be like.
public struct NBDDeviceOptions: Sendable, Equatable {
    /// Size in bytes.
    public var size: UInt64
    /// Bytes of the smallest request, a power of two from 512 to a page.
    public var blockSize: UInt64
    /// What the export can do.
    public var flags: TransmissionFlags
    /// Seconds after which a request's socket is given up, and the request sent again over another;
    /// 0: never.
    public var requestTimeout: UInt64
    /// Seconds that requests wait for a new socket when all are dead, before they fail; 0: none.
    public var deadConnectionTimeout: UInt64
    /// A text that tells whose device it is, and has to be given again to replace its sockets.
    public var backend: String?

    /// A device for an export, on which nothing wants smaller sectors than so many bytes: 512 to 4096, a
    /// power of two.
    public init(
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

    /// A page where that divides the size, which is what file systems use, or less if that is wanted; else
    /// the largest that does. What the server wants at least comes first.
    static func blockSize(of export: RemoteExport, atMost most: UInt64 = 4096) -> UInt64 {
        let smallest = UInt64(export.blockSizes?.minimum ?? 1)
        var size = most
        while size > 512, export.size % size != 0 { size /= 2 }
        return min(max(size, smallest), 4096)
    }
}

/// The driver, and a socket to talk to it.
public struct NBDDriver: ~Copyable, Sendable {
    private var socket: NetlinkSocket
    private let family: GenericNetlinkFamily

    /// Name of the family. `NBD_GENL_FAMILY_NAME`
    static var familyName: String { "nbd" }

    /// Finds the driver; throws `noSuchFileOrDirectory` when the kernel has it neither loaded nor as
    /// a module that it can load by itself. One exchange.
    public init() throws(Errno) {
        // Both are had before anything of this value is: a value that owns is whole, or not there.
        var socket = try NetlinkSocket()
        let family = try GenericNetlinkFamily(named: Self.familyName, over: &socket)
        self.socket = socket
        self.family = family
    }

    /// Attaches connections, whose handshakes are done, to a device, or to the first free one; answers
    /// which. The kernel keeps them open by itself from then on. One exchange.
    public mutating func connect(
        _ connections: [NBDConnection], to device: NBDDevice?, _ options: NBDDeviceOptions
    ) throws(Errno) -> NBDDevice {
        // The message has their numbers alone: they stay open until it is answered.
        defer { withExtendedLifetime(connections) {} }
        let answers = try family.ask(
            NBDMessage.connect(connections.map(\.handle), device, options), over: &socket)
        guard let device = NBDMessage.device(in: answers) else { throw .badMessage }
        return device
    }

    /// Replaces sockets of a device that are dead; those for which there is none are left over. One
    /// exchange.
    public mutating func reconfigure(
        _ device: NBDDevice, _ connections: [NBDConnection], _ options: NBDDeviceOptions
    ) throws(Errno) {
        defer { withExtendedLifetime(connections) {} }
        _ = try family.ask(
            NBDMessage.reconfigure(connections.map(\.handle), device, options), over: &socket)
    }

    /// Changes a device's timeouts; its sockets stay. One exchange.
    public mutating func setTimeouts(
        of device: NBDDevice, _ options: NBDDeviceOptions
    ) throws(Errno) {
        _ = try family.ask(NBDMessage.reconfigure([], device, options), over: &socket)
    }

    /// Takes the sockets away. What was in flight fails; what was not written is lost. One exchange.
    public mutating func disconnect(_ device: NBDDevice) throws(Errno) {
        _ = try family.ask(NBDMessage.disconnect(device), over: &socket)
    }

    /// All devices, and whether each is connected. One exchange.
    public mutating func status() throws(Errno) -> [NBDDevice: Bool] {
        let answers = try family.ask(NBDMessage.status, over: &socket)
        guard let devices = NBDMessage.devices(in: answers) else { throw .badMessage }
        return devices
    }
}
