internal import CLinux
internal import Glibc
internal import LinuxIO
internal import Synchronization

/// The socket on which a service manager receives the state of the process that it has started. sd_notify(3)
package enum NotifySocket {
    /// Whether a service manager listens.
    package static var isThere: Bool { unsafe getenv("NOTIFY_SOCKET") != nil }

    /// The socket of ``connect()``.
    private static let connected = Mutex<Descriptor?>(nil)

    /// Connects a socket for all messages that follow: those of a process that may not create a socket any more.
    package static func connect() {
        guard let address, let made = makeSocket(), address.connect(made) else { return }
        var socket = Optional(made)
        connected.withLock { $0 = socket.take() }
    }

    /// Sends lines such as `READY=1` to the socket that `NOTIFY_SOCKET` names. Does nothing without such a
    /// socket.
    package static func send(_ lines: String) {
        let bytes = Array(lines.utf8)
        let isSent = connected.withLock { socket in
            guard let descriptor = socket?.rawValue else { return false }
            _ = unsafe Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL))
            return true
        }
        guard !isSent, let address, let socket = makeSocket() else { return }
        address.sendDatagram(bytes, on: socket)
    }

    /// The address that `NOTIFY_SOCKET` names.
    private static var address: SocketAddress? {
        unsafe getenv("NOTIFY_SOCKET").map { unsafe String(cString: $0) }.flatMap(
            SocketAddress.unix(name:))
    }

    private static func makeSocket() -> Descriptor? {
        let type = CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(AF_UNIX, type, 0)
        return descriptor < 0 ? nil : Descriptor(adopting: descriptor)
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
