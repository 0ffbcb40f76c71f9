internal import CLinux
internal import Glibc
internal import LinuxIO

/// The socket on which a service manager receives the state of the process that it has started. sd_notify(3)
package enum NotifySocket {
    /// Whether a service manager listens.
    package static var isThere: Bool { unsafe getenv("NOTIFY_SOCKET") != nil }

    /// Sends lines such as `READY=1` to the socket that `NOTIFY_SOCKET` names. Does nothing without such a
    /// socket.
    package static func send(_ lines: String) {
        guard let name = unsafe getenv("NOTIFY_SOCKET").map({ unsafe String(cString: $0) }),
            let address = SocketAddress.unix(name: name)
        else { return }
        let type = CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { return }
        address.sendDatagram(Array(lines.utf8), on: Descriptor(adopting: descriptor))
    }
}

extension SocketAddress {
    /// Returns the address of a path, or of an abstract name after `@`. unix(7)
    static func unix(name: String) -> SocketAddress? {
        guard name.hasPrefix("@") else { return unix(path: name) }
        guard let address = unix(path: name) else { return nil }
        // A NUL in place of the @, and none at the end, where each byte of the name counts.
        var bytes = address.bytes.dropLast()
        bytes[2] = 0
        return SocketAddress(bytes: Array(bytes))
    }
}
