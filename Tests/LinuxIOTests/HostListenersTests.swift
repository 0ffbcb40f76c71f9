import LinuxIO
import SystemPackage
import Testing

@Suite("Addresses to listen on") struct HostListenersTests {
    private func addresses(_ hosts: String...) throws -> [SocketAddress] {
        try hosts.flatMap { try SocketAddress.resolve(host: $0, port: 0, passive: true) }
    }

    /// Listens on a machine that fails so for every address of IPv6.
    private func without(_ error: Errno) -> (SocketAddress) throws(Errno) -> Listener {
        { (address) throws(Errno) in
            guard !address.description.hasPrefix("[") else { throw error }
            return try Listener(tcp: address)
        }
    }

    @Test(
        "of every kind are those that the machine has, whichever comes first",
        arguments: [Errno.addressFamilyNotSupported, .addressNotAvailable], ["*", "localhost"])
    func withoutIPv6(error: Errno, host: String) throws {
        for order in [try addresses("127.0.0.1", "::1"), try addresses("::1", "127.0.0.1")] {
            let listeners = try HostListeners.bind(order, of: host, open: without(error))
            #expect(listeners.count == 1)
            #expect(listeners[0].address.description.hasPrefix("127.0.0.1:"))
        }
    }

    @Test("that the machine does not have cause an error when there is no other")
    func none() throws {
        let only = try addresses("::1")
        for host in ["*", "localhost", "::1"] {
            #expect(throws: HostListeners.BindError.self) {
                try HostListeners.bind(only, of: host, open: without(.addressFamilyNotSupported))
            }
        }
    }

    @Test("that were asked for by a name of their own, and are another machine's, are told of")
    func foreign() throws {
        let both = try addresses("127.0.0.1", "::1")
        #expect(throws: HostListeners.BindError.self) {
            try HostListeners.bind(both, of: "nas.example", open: without(.addressNotAvailable))
        }
        #expect(throws: HostListeners.BindError.self) {
            try HostListeners.bind(both, of: "*", open: without(.addressInUse))
        }
    }
}
