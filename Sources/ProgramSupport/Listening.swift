internal import LinuxHost
package import LinuxIO
package import Logging
package import SystemPackage

/// Addresses to listen on.
package struct ListenConfiguration: Sendable {
    package var tcp: [ListenAddress] = []
    /// Paths of Unix sockets.
    package var unix: [String] = []
    /// Whom their files are for.
    package var unixAccess = Listener.FileAccess()

    package init(
        tcp: [ListenAddress] = [], unix: [String] = [],
        unixAccess: Listener.FileAccess = Listener.FileAccess()
    ) {
        self.tcp = tcp
        self.unix = unix
        self.unixAccess = unixAccess
    }

    /// Opens them all, or none: those that a service manager passed, those that are asked for, and the
    /// standard one when there is no other.
    package func open(logger: Logger) throws(Failure) -> [Listener] {
        var listeners = try Listening.passed(logger: logger)
        let isStandard = listeners.isEmpty && tcp.isEmpty && unix.isEmpty
        listeners += try Self.open(isStandard ? [.standard] : tcp)
        for path in unix { listeners.append(try Listening.unix(path, unixAccess)) }
        guard listeners.count <= Listener.maximumCount else {
            throw .usage(
                "cannot listen on \(listeners.count) addresses, but on \(Listener.maximumCount) at "
                    + "most: give fewer of --listen and --unix")
        }
        return listeners
    }

    /// Opens these TCP addresses alone.
    package static func open(
        _ addresses: [ListenAddress], option: String = "--listen"
    ) throws(Failure) -> [Listener] {
        var listeners: [Listener] = []
        for address in addresses { listeners += try Listening.tcp(address, option) }
        return listeners
    }
}

package enum Listening {
    /// How often a free port is looked for that all addresses of a host have.
    private static let attempts = 16

    /// Listeners on every address of a host, all with one port.
    package static func tcp(
        _ wanted: ListenAddress, _ option: String
    ) throws(Failure) -> [Listener] {
        let addresses = try resolve(wanted)
        for attempt in 1... {
            do throws(BindError) {
                return try bind(addresses, of: wanted.host)
            } catch {
                // With port 0 the first address chooses, and another may not have that port free.
                if wanted.port == 0, error.reason == .addressInUse, attempt < attempts { continue }
                throw error.failure(option)
            }
        }
        return []
    }

    /// Listeners that a service manager has opened.
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
                "cannot use the sockets that were passed: \(error); pass sockets that listen "
                    + "(Accept=no), or one client as standard input with --stdio")
        }
    }

    /// A listener on a Unix socket.
    package static func unix(
        _ path: String, _ access: Listener.FileAccess
    ) throws(Failure) -> Listener {
        guard let address = SocketAddress.unix(path: path) else {
            throw .unavailable("the path \(path) is no path for a Unix socket")
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

        /// The same for people who have asked for the address with this option.
        package func failure(_ option: String) -> Failure {
            switch (reason, address.path) {
            case (.addressInUse, nil):
                .unavailable(
                    "cannot listen on \(address): the address is in use; "
                        + "choose another with \(option), or end what listens there")
            case (.addressInUse, _?):
                .unavailable(
                    "cannot listen on \(address): a server answers there, or the file is no socket; "
                        + "choose another path with --unix")
            case (.permissionDenied, _):
                .notPermitted(
                    "cannot listen on \(address): permission denied; "
                        + "choose an address that this user may use")
            case (.notPermitted, _?):
                .notPermitted(
                    "cannot give \(address) to another with --unix-owner: that is not permitted; "
                        + "run as root, or name a group of this user's own")
            default:
                .unavailable("cannot listen on \(address): \(reason)")
            }
        }
    }

    /// The addresses of a host. For "localhost" the loopback of both families, whatever the
    /// machine's tables say.
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

    /// Binds all addresses of a host, or none. Those of a family that this machine does not have are left
    /// out, as long as there is another one. Without IPv6 there is a socket for IPv6 and no address, or not
    /// even a socket; only of "localhost" and "*" is it this program that has chosen the addresses.
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
