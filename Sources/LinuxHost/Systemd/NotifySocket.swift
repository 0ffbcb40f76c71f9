internal import LinuxIO
internal import CLinux
internal import Glibc
internal import SystemPackage

/// The socket on which a service manager listens for news of the process that it started.
package enum NotifySocket {
    /// Sends lines such as `READY=1`; nothing happens when no service manager wants to know, or it is
    /// gone. The socket is named by `NOTIFY_SOCKET`.
    package static func tell(_ lines: String) {
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
    /// A path, or `@` and an abstract name. unix(7)
    static func unix(name: String) -> SocketAddress? {
        guard name.hasPrefix("@") else { return unix(path: name) }
        guard let address = unix(path: name) else { return nil }
        // A NUL in place of the sign, and none at the end: there each byte counts.
        var bytes = address.bytes.dropLast()
        bytes[2] = 0
        return SocketAddress(bytes: Array(bytes))
    }
}
