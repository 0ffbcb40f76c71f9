package import SystemPackage

/// Listeners on every address of a host, all with the same port.
package enum HostListeners {
    /// The number of attempts to find a port that is free on all addresses of a host.
    private static let attempts = 16

    /// The reason why no listener was opened.
    package enum Failure: Error {
        /// The host has no address.
        case lookup(SocketAddress.LookupError)
        /// The kernel refused an address.
        case bind(BindError)
    }

    /// The address that the kernel refused, and its reason.
    package struct BindError: Error {
        package let address: SocketAddress
        package let reason: Errno

        package init(address: SocketAddress, reason: Errno) {
            self.address = address
            self.reason = reason
        }
    }

    /// Opens all addresses of a host, or throws and opens none.
    ///
    /// - Parameters:
    ///   - host: a numeric address or a name. "localhost" is the loopback address of both families, whatever
    ///     /etc/hosts says; "*" is every address of this machine.
    ///   - port: 0 lets the kernel choose a port that is free on all addresses.
    package static func open(host: String, port: UInt16) throws(Failure) -> [Listener] {
        let addresses = try resolve(host, port)
        for attempt in 1... {
            do throws(BindError) {
                return try bind(addresses, of: host)
            } catch {
                // With port 0 the kernel chooses a port for the first address, which may be in use on another.
                if port == 0, error.reason == .addressInUse, attempt < attempts { continue }
                throw .bind(error)
            }
        }
        return []
    }

    private static func resolve(_ host: String, _ port: UInt16) throws(Failure) -> [SocketAddress] {
        var addresses: [SocketAddress] = []
        for host in host == "localhost" ? ["127.0.0.1", "::1"] : [host] {
            do throws(SocketAddress.LookupError) {
                addresses += try SocketAddress.resolve(host: host, port: port, passive: true)
            } catch {
                throw .lookup(error)
            }
        }
        return addresses
    }

    /// Binds all addresses of a host, or throws. Skips addresses of a family that this machine lacks, unless there is
    /// no other. A machine without IPv6 lacks the address, or even the socket family. A missing address is an
    /// error unless the caller has not named it, which is so only for "localhost" and "*".
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
