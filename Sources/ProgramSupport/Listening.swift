internal import LinuxHost
package import LinuxIO
package import Logging
internal import SystemPackage

/// Addresses to listen on.
package struct ListenConfiguration: Sendable {
    var tcp: [ListenAddress] = []
    /// Paths of Unix sockets.
    package private(set) var unix: [String] = []
    /// The owner and mode of their files.
    var unixAccess = Listener.FileAccess()

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

enum Listening {
    /// Returns listeners on every address of a host, all with the same port.
    static func tcp(
        _ wanted: ListenAddress, _ option: String
    ) throws(Failure) -> [Listener] {
        do throws(HostListeners.Failure) {
            return try HostListeners.open(host: wanted.host, port: wanted.port)
        } catch {
            switch error {
            case .lookup(let error): throw .unavailable("\(error)")
            case .bind(let error): throw error.failure(option)
            }
        }
    }

    /// Returns the listeners that a service manager has opened.
    static func passed(logger: Logger) throws(Failure) -> [Listener] {
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
    static func unix(
        _ path: String, _ access: Listener.FileAccess
    ) throws(Failure) -> Listener {
        guard let address = SocketAddress.unix(path: path) else {
            throw .unavailable("\(path) cannot be the path of a Unix socket")
        }
        do throws(Errno) {
            return try Listener(unix: address, access: access)
        } catch {
            throw HostListeners.BindError(address: address, reason: error).failure("--unix")
        }
    }
}

extension HostListeners.BindError {
    /// The failure, for an address that this option has given.
    func failure(_ option: String) -> Failure {
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
