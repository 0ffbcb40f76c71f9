internal import Glibc

/// A client that sends NBD byte by byte, so that it can do what no library does: read nothing, stop in the middle of
/// a message, send much at once. It shares no code with the server. A send or receive that takes longer than thirty
/// seconds throws.
public final class RawClient: Sendable {
    private let descriptor: Int32

    /// The server has closed the connection.
    public struct Ended: Error {}

    private static var limitSeconds: Int { 30 }

    /// Connects to a Unix socket. connect(2)
    public init(unix path: String) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // Sound: the path is cut to what the field holds, and the rest of it is zero.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { field in
            unsafe field.dropLast().copyBytes(from: path.utf8.prefix(field.count - 1))
        }
        descriptor = try Self.connect(AF_UNIX) { socket in
            unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }

    /// Connects to a TCP port of a numeric address. getaddrinfo(3), connect(2)
    public init(host: String, port: UInt16) throws {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, String(port), &hints, &list) == 0, let found = unsafe list
        else { throw TestError("\(host) is not an address") }
        defer { unsafe freeaddrinfo(list) }
        descriptor = try unsafe Self.connect(found.pointee.ai_family) {
            unsafe Glibc.connect($0, found.pointee.ai_addr, found.pointee.ai_addrlen)
        }
    }

    private static func connect(_ family: CInt, _ body: (CInt) -> CInt) throws -> CInt {
        let socket = Glibc.socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: limitSeconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        unsafe setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        guard body(socket) == 0 else {
            let reason = errno
            close(socket)
            throw TestError("cannot connect: errno \(reason)")
        }
        return socket
    }

    deinit { close(descriptor) }

    /// Sends all of these bytes. send(2)
    public func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[sent...])
                return unsafe Glibc.send(
                    descriptor, rest.baseAddress, rest.count, CInt(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw TestError("cannot send: errno \(errno)") }
            sent += count
        }
    }

    /// Receives exactly `count` bytes. Throws ``Ended`` when the server closes before. recv(2)
    public func receive(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var received = 0
        while received < count {
            let result = unsafe bytes.withUnsafeMutableBytes { buffer in
                let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[received...])
                return unsafe recv(descriptor, rest.baseAddress, rest.count, 0)
            }
            if result == 0 || (result < 0 && errno == ECONNRESET) { throw Ended() }
            guard result > 0 else { throw TestError("cannot receive: errno \(errno)") }
            received += result
        }
        return bytes
    }

    /// Whether the server closes the connection without sending a byte.
    public func isClosed() throws -> Bool {
        do {
            _ = try receive(1)
            return false
        } catch is Ended {
            return true
        }
    }
}
