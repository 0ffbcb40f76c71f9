/// Commands. `NBD_CMD_*`
enum NBDCommand {
    /// Attaches sockets to a device.
    static var connect: UInt8 { 1 }
    /// Takes a device's sockets away.
    static var disconnect: UInt8 { 2 }
    /// Replaces a device's dead sockets.
    static var reconfigure: UInt8 { 3 }
    /// Asks which devices there are, and which are connected.
    static var status: UInt8 { 5 }
}

/// Attributes of a command. `NBD_ATTR_*`
enum NBDAttribute {
    /// Number of the device, 32 bits.
    static var index: UInt16 { 1 }
    /// Size in bytes, 64 bits.
    static var size: UInt16 { 2 }
    /// Block size in bytes, 64 bits.
    static var blockSize: UInt16 { 3 }
    /// Seconds that a request may take, 64 bits.
    static var timeout: UInt16 { 4 }
    /// Transmission flags of the export, 64 bits.
    static var serverFlags: UInt16 { 5 }
    /// The sockets, each a ``NBDSocketItem``.
    static var sockets: UInt16 { 7 }
    /// Seconds to wait for a new socket when all are dead, 64 bits.
    static var deadConnectionTimeout: UInt16 { 8 }
    /// The devices, each a ``NBDDeviceItem``.
    static var devices: UInt16 { 9 }
    /// A text that has to be given again to reconfigure (since Linux 5.14).
    static var backend: UInt16 { 10 }
}

/// A socket in a list of them. `NBD_SOCK_*`
enum NBDSocketItem {
    /// The item. `NBD_SOCK_ITEM`
    static var item: UInt16 { 1 }
    /// Its descriptor in this process, 32 bits. `NBD_SOCK_FD`
    static var descriptor: UInt16 { 1 }
}

/// A device in a list of them. `NBD_DEVICE_*`
enum NBDDeviceItem {
    /// The item. `NBD_DEVICE_ITEM`
    static var item: UInt16 { 1 }
    /// Its number, 32 bits. `NBD_DEVICE_INDEX`
    static var index: UInt16 { 1 }
    /// Whether it is connected, 8 bits. `NBD_DEVICE_CONNECTED`
    static var connected: UInt16 { 2 }
}
