internal import Glibc
package import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// An address that a server listens on.
public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: Sendable, Hashable {
        case tcp(host: String, port: UInt16)
        case unix(path: String, permissions: UInt32?)
        /// A name outside of the file system, on a socket that was passed to the program. unix(7), "abstract"
        case abstract(name: String)
    }

    private let kind: Kind

    /// A TCP host and port.
    ///
    /// - Parameters:
    ///   - host: a numeric address or a name. "localhost" means the loopback addresses of both families, and
    ///     "\*" every address of this machine.
    ///   - port: 0 lets the kernel choose a free one, which ``Server/addresses`` tells once the server has
    ///     started.
    public static func tcp(host: String = "localhost", port: UInt16 = 10809) -> Endpoint {
        Endpoint(kind: .tcp(host: host, port: port))
    }

    /// A Unix socket. The server replaces a file left behind by a process that has ended, and removes its own
    /// when it stops.
    ///
    /// - Parameters:
    ///   - path: at most 107 bytes.
    ///   - permissions: of the socket's file, such as 0o660. Users with write permission can connect. Nil applies the
    ///     process's umask.
    public static func unix(_ path: String, permissions: UInt32? = nil) -> Endpoint {
        Endpoint(kind: .unix(path: path, permissions: permissions))
    }

    private init(kind: Kind) { self.kind = kind }

    /// The address of a listening socket.
    package init(_ address: SocketAddress) {
        if let name = address.abstractName {
            kind = .abstract(name: name)
        } else if let path = address.path {
            kind = .unix(path: path, permissions: nil)
        } else {
            kind = .tcp(host: address.ip.map { "\($0)" } ?? "", port: address.port ?? 0)
        }
    }

    /// The host; nil for a Unix socket.
    public var host: String? { if case .tcp(let host, _) = kind { host } else { nil } }

    /// The port; nil for a Unix socket.
    public var port: UInt16? { if case .tcp(_, let port) = kind { port } else { nil } }

    /// The path; nil for TCP.
    public var path: String? { if case .unix(let path, _) = kind { path } else { nil } }

    /// `127.0.0.1:10809`, `[::1]:10809`, the path, or `@` and a name outside of the file system.
    public var description: String {
        switch kind {
        case .tcp(let host, let port): "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        case .unix(let path, _): path
        case .abstract(let name): "@\(name)"
        }
    }

    /// Returns the NBD URI that a client on this machine connects to (specification: doc/uri.md), with its port even if
    /// that is the standard one; nil for a Unix socket outside of the file system, which has no URI.
    public func uri(export: String = "", isEncrypted: Bool = false) -> String? {
        switch kind {
        case .tcp(let host, _):
            // A client cannot connect to "every address"; this is the name that every machine has for itself, and that
            // TLS certificates for this machine contain.
            let isAny = host == "*" || host == "0.0.0.0" || host == "::"
            let authority = isAny ? "localhost:\(port ?? 0)" : description
            let name = PercentEncoding.encode(export)
            return (isEncrypted ? "nbds" : "nbd") + "://\(authority)"
                + (name.isEmpty ? "" : "/\(name)")
        case .unix(let path, _):
            return NBDURI(.unix(path: path), exportName: export, requiresTLS: isEncrypted)
                .description
        case .abstract: return nil
        }
    }
}

// MARK: - Listening

extension Endpoint {
    /// Opens every address of this endpoint, or throws and opens none.
    func listen() throws(ServerError) -> [Listener] {
        switch kind {
        case .tcp(let host, let port):
            do throws(HostListeners.Failure) {
                return try HostListeners.open(host: host, port: port)
            } catch {
                switch error {
                case .lookup(let error): throw ServerError(.invalidAddress, "\(error)")
                case .bind(let error): throw Endpoint(error.address).failure(error.reason)
                }
            }
        case .unix(let path, let permissions):
            guard let address = SocketAddress.unix(path: path) else {
                throw ServerError(
                    .invalidAddress,
                    "cannot listen on \"\(path)\": the path of a Unix socket has 1 to "
                        + "\(SocketAddress.longestPath) bytes")
            }
            do throws(Errno) {
                return [
                    try Listener(unix: address, access: .init(mode: permissions))
                ]
            } catch {
                throw failure(error)
            }
        case .abstract: throw failure(.notSupported)
        }
    }

    private func failure(_ error: Errno) -> ServerError {
        ServerError(.cannotListen, "cannot listen on \(self): \(error)", error)
    }
}
