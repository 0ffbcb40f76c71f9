internal import CLinux
internal import Glibc
public import SystemPackage

/// The other end of a connection, as the kernel knows it.
public enum Peer: Sendable, Hashable {
    /// A host and its port.
    case host(SocketAddress)
    /// A process on this machine, as it was when it connected.
    case process(Credentials)

    /// The identity of a process. unix(7), `SO_PEERCRED`
    public struct Credentials: Sendable, Hashable {
        /// The process id; 0 when the process is in another PID namespace.
        public let pid: Int32
        /// The user.
        public let uid: UInt32
        /// The group and the supplementary groups.
        public let gids: Set<UInt32>

        /// Credentials that do not come from a socket.
        public init(pid: Int32, uid: UInt32, gids: Set<UInt32>) {
            self.pid = pid
            self.uid = uid
            self.gids = gids
        }
    }

    /// An origin of connections: those of one origin may all have been made by one client.
    public enum Source: Sendable, Hashable {
        /// An IPv4 address, or the 64 bits of an IPv6 address that usually belong to one host.
        case network(IPNetwork)
        /// A user of this machine.
        case user(UInt32)
        /// Anything else.
        case unknown
    }

    /// The origin of the connection.
    public var source: Source {
        switch self {
        case .host(let address):
            guard let ip = address.ip else { return .unknown }
            return .network(IPNetwork(ip, prefix: ip.isIPv4 ? 128 : 64))
        case .process(let credentials): return .user(credentials.uid)
        }
    }
}

extension Peer: CustomStringConvertible {
    /// `192.0.2.1:4000`, or `user 1000 (process 4711)`.
    public var description: String {
        switch self {
        case .host(let address): "\(address)"
        case .process(let credentials):
            "user \(credentials.uid) (process \(credentials.pid))"
        }
    }
}

extension StreamSocket {
    /// Returns the other end of the connection. getpeername(2); unix(7), `SO_PEERCRED` and `SO_PEERGROUPS`
    ///
    /// - Throws: `notConnected` when the peer has disconnected.
    public func peer() throws(Errno) -> Peer {
        handle.isUnix
            ? .process(try handle.peerCredentials()) : .host(try handle.peerAddress())
    }
}

extension SocketHandle {
    fileprivate func peerAddress() throws(Errno) -> SocketAddress {
        try unsafe SocketAddress.filled { (address, length) in
            unsafe getpeername(rawValue, address, length)
        }
    }

    fileprivate func peerCredentials() throws(Errno) -> Peer.Credentials {
        var pid: CInt = 0
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        try checked(unsafe clinux_peer_credentials(rawValue, &pid, &uid, &gid))
        return Peer.Credentials(pid: pid, uid: uid, gids: try peerGroups().union([gid]))
    }

    private func peerGroups() throws(Errno) -> Set<UInt32> {
        // Nearly all processes have a few groups; none has more than `NGROUPS_MAX`, which is 65536.
        for capacity in [64, 65_536] {
            var groups = [UInt32](repeating: 0, count: capacity)
            let count = unsafe clinux_peer_groups(rawValue, &groups, groups.count)
            if count == -ERANGE, capacity < 65_536 { continue }
            return Set(groups.prefix(Int(try checked(count))))
        }
        return []
    }
}
