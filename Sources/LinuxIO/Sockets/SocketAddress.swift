internal import CLinux
internal import Glibc
internal import SystemPackage

/// An IPv4, IPv6 or Unix address in the form that the kernel takes.
public struct SocketAddress: Sendable, Hashable, CustomStringConvertible {
    /// The bytes of the kernel's `sockaddr`.
    package let bytes: [UInt8]

    /// Makes an address from the bytes of a whole `sockaddr`.
    package init(bytes: [UInt8]) { self.bytes = bytes }

    /// The reason why a host name has no address.
    public struct LookupError: Error, CustomStringConvertible {
        /// The name that was looked up.
        public let host: String
        /// The resolver's message.
        public let reason: String
        /// A sentence with the name and the reason.
        public var description: String { "cannot find the host \"\(host)\": \(reason)" }
    }

    /// The length of the longest path of a Unix socket, in bytes. unix(7)
    public static var longestPath: Int { 107 }

    /// Returns the addresses of a host, in the resolver's order; "*" stands for every address of this
    /// machine. getaddrinfo(3)
    public static func resolve(
        host: String, port: UInt16, passive: Bool = false
    ) throws(LookupError) -> [SocketAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)
        var list: UnsafeMutablePointer<addrinfo>?
        let node: String? = host == "*" ? nil : host
        let result = unsafe getaddrinfo(node, String(port), &hints, &list)
        guard result == 0 else {
            let reason = unsafe String(cString: gai_strerror(result))
            throw LookupError(host: host, reason: reason)
        }
        defer { unsafe freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var entry = unsafe list
        while let info = unsafe entry {
            // Sound: the list is valid until freeaddrinfo, and has the length of each address.
            let address = unsafe SocketAddress(
                bytes: Array(
                    UnsafeRawBufferPointer(
                        start: info.pointee.ai_addr, count: Int(info.pointee.ai_addrlen))))
            if !addresses.contains(address) { addresses.append(address) }
            unsafe entry = info.pointee.ai_next
        }
        return addresses
    }

    /// Returns the address of a path; nil when it is empty, contains a NUL or is longer than
    /// ``longestPath``.
    public static func unix(path: String) -> SocketAddress? {
        let name = Array(path.utf8)
        guard !name.isEmpty, name.count <= longestPath, !name.contains(0) else { return nil }
        let family = sa_family_t(AF_UNIX)
        let head = unsafe withUnsafeBytes(of: family) { unsafe Array($0) }
        return SocketAddress(bytes: head + name + [0])
    }

    var family: CInt {
        // Sound: every sockaddr begins with its family, in the machine's byte order.
        CInt(unsafe bytes.span.bytes.unsafeLoadUnaligned(as: sa_family_t.self))
    }

    /// The port of an IPv4 or IPv6 address; nil for a Unix address.
    public var port: UInt16? {
        family == AF_UNIX ? nil : UInt16(bytes[2]) << 8 | UInt16(bytes[3])
    }

    /// Returns the same address with another port.
    public func with(port: UInt16) -> SocketAddress {
        var bytes = bytes
        bytes[2] = UInt8(port >> 8)
        bytes[3] = UInt8(truncatingIfNeeded: port)
        return SocketAddress(bytes: bytes)
    }

    /// The path of a Unix address; empty when it has none, or an abstract name. Nil for other families.
    public var path: String? {
        guard family == AF_UNIX else { return nil }
        return String(decoding: bytes.dropFirst(2).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// The name of a Unix address outside the file system; nil for all others. unix(7), "abstract"
    public var abstractName: String? {
        guard family == AF_UNIX, bytes.count > 3, bytes[2] == 0 else { return nil }
        return String(decoding: bytes.dropFirst(3), as: UTF8.self)
    }

    /// `127.0.0.1:10809`, `[::1]:10809`, the path, or `@` and an abstract name. getnameinfo(3), numeric
    public var description: String {
        if let abstractName { return "@\(abstractName)" }
        if let path { return path }
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let size = socklen_t(host.count)
        let result = unsafe withAddress { address, length in
            unsafe getnameinfo(address, length, &host, size, nil, 0, NI_NUMERICHOST)
        }
        guard result == 0 else { return "?" }
        let name = String(decoding: host.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
        return (family == AF_INET6 ? "[\(name)]" : name) + ":\(port ?? 0)"
    }

    /// Sends a datagram to the address, and ignores failure. sendto(2)
    package func sendDatagram(_ bytes: [UInt8], on socket: borrowing Descriptor) {
        let descriptor = socket.rawValue
        _ = unsafe withAddress { address, length in
            unsafe sendto(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL), address, length)
        }
    }

    /// Connects a datagram socket to this address. Returns whether that is possible. connect(2)
    package func connect(_ socket: borrowing Descriptor) -> Bool {
        let descriptor = socket.rawValue
        return unsafe withAddress { unsafe Glibc.connect(descriptor, $0, $1) } == 0
    }

    /// Lends the address to a system call.
    func withAddress<Result>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        unsafe bytes.withUnsafeBytes { buffer in
            // Sound: the bytes are those of a sockaddr of exactly this length, and never empty.
            unsafe body(
                buffer.baseAddress!.assumingMemoryBound(to: sockaddr.self),
                socklen_t(buffer.count))
        }
    }

    /// Returns the address to which a socket is bound. getsockname(2)
    static func local(of descriptor: borrowing Descriptor) throws(Errno) -> SocketAddress {
        let socket = descriptor.rawValue
        return try unsafe filled { (address, length) in
            unsafe getsockname(socket, address, length)
        }
    }

    /// Returns the address that a system call fills in.
    static func filled(
        _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> CInt
    ) throws(Errno) -> SocketAddress {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe call(address, &length)
            }
        }
        try checkedErrno(result)
        let bytes = unsafe withUnsafeBytes(of: storage) { unsafe Array($0.prefix(Int(length))) }
        return SocketAddress(bytes: bytes)
    }
}
