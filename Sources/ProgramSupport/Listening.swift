internal import LinuxHost
package import LinuxIO
package import Logging
package import SystemPackage

/// Addresses to listen on.
package struct ListenConfiguration: Sendable {
    package var tcp: [ListenAddress] = []
    /// Paths of Unix sockets.
    package var unix: [String] = []
    /// The owner and mode of their files.
    package var unixAccess = Listener.FileAccess()

    package init(
        tcp: [ListenAddress] = [], unix: [String] = [],
        unixAccess: Listener.FileAccess = Listener.FileAccess()
    ) {
        self.tcp = tcp
        self.unix = unix
        self.unixAccess = unixAccess
    }

    /// Opens all sockets, or throws: those that a service manager passed, the configured ones, and the default one
    /// when there is no other.
    package func open(logger: Logger) throws(Failure) -> [Listener] {
        var listeners = try Listening.passed(logger: logger)
        let isStandard = listeners.isEmpty && tcp.isEmpty && unix.isEmpty
        listeners += try Self.open(isStandard ? [.standard] : tcp)
        for path in unix { listeners.append(try Listening.unix(path, unixAccess)) }
        guard listeners.count <= Listener.maximumCount else {
            throw .usage(
                "cannot listen on \(listeners.count) addresses; the maximum is "
                    + "\(Listener.maximumCount): give fewer of --listen and --unix")
        }
        return listeners
    }

    /// Opens only these TCP addresses, which `option` has given.
    package static func open(
        _ addresses: [ListenAddress], option: String = "--listen"
    ) throws(Failure) -> [Listener] {
        var listeners: [Listener] = []
        for address in addresses { listeners += try Listening.tcp(address, option) }
        return listeners
    }
}

package enum Listening {
    /// How many times to try for a port that is free on all addresses of a host.
    private static let attempts = 16

    /// Returns listeners on every address of a host, all with the same port.
    package static func tcp(
        _ wanted: ListenAddress, _ option: String
    ) throws(Failure) -> [Listener] {
        let addresses = try resolve(wanted)
        for attempt in 1... {
            do throws(BindError) {
                return try bind(addresses, of: wanted.host)
            } catch {
                // With port 0 the kernel chooses a port for the first address, which may be in use on another.
                if wanted.port == 0, error.reason == .addressInUse, attempt < attempts { continue }
                throw error.failure(option)
            }
        }
        return []
    }

    /// Returns the listeners that a service manager has opened.
    package static func passed(logger: Logger) throws(Failure) -> [Listener] {
        do throws(PassedListeners.Invalid) {
            return try PassedListeners.take().map { passed in
                logger.debug(
                    "listening on a socket that was passed",
                    metadata: [
                        "name": "\(passed.name)", "address": "\(passed.listener.address)",
                    ])
                return passed.listener
            }
        } catch {
            throw .usage(
                "cannot use the passed sockets: \(error); pass listening sockets (Accept=no), or one "
                    + "client as standard input with --stdio")
        }
    }

    /// Returns a listener on a Unix socket.
    package static func unix(
        _ path: String, _ access: Listener.FileAccess
    ) throws(Failure) -> Listener {
        guard let address = SocketAddress.unix(path: path) else {
            throw .unavailable("\(path) cannot be the path of a Unix socket")
        }
        do throws(Errno) {
            return try Listener(unix: address, access: access)
        } catch {
            throw BindError(address: address, reason: error).failure("--unix")
        }
    }

    package struct BindError: Error {
        package var address: SocketAddress
        package var reason: Errno

        /// The failure, for an address that this option has given.
        package func failure(_ option: String) -> Failure {
            switch (reason, address.path) {
            case (.addressInUse, nil):
                .unavailable(
                    "cannot listen on \(address): the address is in use; "
                        + "choose another with \(option), or stop the program that listens there")
            case (.addressInUse, _?):
                .unavailable(
                    "cannot listen on \(address): a server listens there, or the file is not a socket; "
                        + "choose another path with --unix")
            case (.permissionDenied, _):
                .notPermitted(
                    "cannot listen on \(address): permission denied; "
                        + "choose an address that this user may use")
            case (.notPermitted, _?):
                .notPermitted(
                    "cannot change the owner of \(address) with --unix-owner: not permitted; "
                        + "run as root, or give a group that this user is a member of")
            default:
                .unavailable("cannot listen on \(address): \(reason)")
            }
        }
    }

    /// Returns the addresses of a host. "localhost" is the loopback address of both families, whatever
    /// /etc/hosts says.
    private static func resolve(_ wanted: ListenAddress) throws(Failure) -> [SocketAddress] {
        let hosts = wanted.host == "localhost" ? ["127.0.0.1", "::1"] : [wanted.host]
        var addresses: [SocketAddress] = []
        for host in hosts {
            do throws(SocketAddress.LookupError) {
                addresses += try SocketAddress.resolve(
                    host: host, port: wanted.port, passive: true)
            } catch {
                throw .unavailable("\(error)")
            }
        }
        return addresses
    }

    /// Binds all addresses of a host, or throws. Skips addresses of a family that this machine lacks, unless there is
    /// no other. A machine without IPv6 lacks the address, or even the socket family. A missing address is an
    /// error unless this program has chosen it, which it does only for "localhost" and "*".
    package static func bind(
        _ addresses: [SocketAddress], of host: String,
        open: (SocketAddress) throws(Errno) -> Listener = { (address) throws(Errno) in
            try Listener(tcp: address)
        }
    ) throws(BindError) -> [Listener] {
        let mayBeAbsent: [Errno] =
            host == "localhost" || host == "*"
            ? [.addressFamilyNotSupported, .addressNotAvailable] : [.addressFamilyNotSupported]
        var listeners: [Listener] = []
        var absent: BindError?
        for address in addresses {
            let address =
                address.port == 0
                ? address.with(port: listeners.first?.address.port ?? 0)
                : address
            do throws(Errno) {
                listeners.append(try open(address))
            } catch {
                let failure = BindError(address: address, reason: error)
                guard mayBeAbsent.contains(error) else { throw failure }
                absent = failure
            }
        }
        if listeners.isEmpty, let absent { throw absent }
        return listeners
    }
}
