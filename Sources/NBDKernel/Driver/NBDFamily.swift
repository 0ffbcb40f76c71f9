/// Commands of the generic netlink family `nbd` (linux/nbd-netlink.h). `NBD_CMD_*`
enum NBDCommand {
    /// Attaches sockets to a device.
    static var connect: UInt8 { 1 }
    /// Detaches a device's sockets.
    static var disconnect: UInt8 { 2 }
    /// Replaces a device's dead sockets.
    static var reconfigure: UInt8 { 3 }
    /// Lists the devices, and whether each is connected.
    static var status: UInt8 { 5 }
}

/// Attributes of a command. `NBD_ATTR_*`
enum NBDAttribute {
    /// Index of the device, 32 bits.
    static var index: UInt16 { 1 }
    /// Size in bytes, 64 bits.
    static var size: UInt16 { 2 }
    /// Block size in bytes, 64 bits.
    static var blockSize: UInt16 { 3 }
    /// Request timeout in seconds, 64 bits.
    static var timeout: UInt16 { 4 }
    /// Transmission flags of the export, 64 bits.
    static var serverFlags: UInt16 { 5 }
    /// The sockets, each a ``NBDSocketItem``.
    static var sockets: UInt16 { 7 }
    /// Seconds to wait for a new socket after all have died, 64 bits.
    static var deadConnectionTimeout: UInt16 { 8 }
    /// The devices, each a ``NBDDeviceItem``.
    static var devices: UInt16 { 9 }
    /// A text that reconfiguring must repeat (since Linux 5.14).
    static var backend: UInt16 { 10 }
}

/// A socket in a list of them. `NBD_SOCK_*`
enum NBDSocketItem {
    /// The item. `NBD_SOCK_ITEM`
    static var item: UInt16 { 1 }
    /// The socket's descriptor in this process, 32 bits. `NBD_SOCK_FD`
    static var descriptor: UInt16 { 1 }
}

/// A device in a list of them. `NBD_DEVICE_*`
enum NBDDeviceItem {
    /// The item. `NBD_DEVICE_ITEM`
    static var item: UInt16 { 1 }
    /// Index of the device, 32 bits. `NBD_DEVICE_INDEX`
    static var index: UInt16 { 1 }
    /// Whether the device is connected, 8 bits. `NBD_DEVICE_CONNECTED`
    static var connected: UInt16 { 2 }
}
