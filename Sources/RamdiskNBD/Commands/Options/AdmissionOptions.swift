internal import ServerHost
internal import ArgumentParser
internal import LinuxHost
internal import LinuxIO
internal import NBDServer

/// The clients that may connect.
struct AdmissionOptions: ParsableArguments {
    @Option(
        name: .customLong("allow-network"),
        help: ArgumentHelp(
            """
            Accept TCP clients from this network only: 192.0.2.0/24, 2001:db8::/32 or one address. \
            Repeatable. (default: any address)
            """, valueName: "network"),
        transform: network)
    var networks: [IPNetwork] = []

    @Option(
        name: .customLong("allow-user"),
        help: ArgumentHelp(
            """
            Accept only processes of this user on Unix sockets, besides those that --allow-group \
            permits. A name or a uid. Repeatable. (default: any user)
            """, valueName: "user"),
        completion: .user, transform: user)
    var users: [UInt32] = []

    @Option(
        name: .customLong("allow-group"),
        help: ArgumentHelp(
            """
            Accept only processes of members of this group on Unix sockets, besides those that \
            --allow-user permits. A name or a gid. Repeatable. (default: any group)
            """, valueName: "group"),
        completion: .group, transform: group)
    var groups: [UInt32] = []

    /// The engine's policy.
    var policy: AdmissionPolicy {
        var policy = AdmissionPolicy()
        policy.networks = networks
        policy.users = Set(users)
        policy.groups = Set(groups)
        return policy
    }

    /// Rejects an option that has no effect: its user believes that it protects the disk.
    func validate(for addresses: ListenOptions) throws {
        guard !addresses.stdio else {
            guard networks.isEmpty, users.isEmpty, groups.isEmpty else {
                throw ValidationError(
                    "--allow-network, --allow-user and --allow-group have no effect with --stdio: "
                        + "leave them out. The process that starts the server chooses the client.")
            }
            return
        }
        // The sockets that a service manager passes are not open yet. The start of the server checks them.
        guard !PassedListeners.arePresent else { return }
        if let problem = policy.problem(isTCP: addresses.isTCP, isUnix: !addresses.unix.isEmpty) {
            throw ValidationError(problem + ".")
        }
    }
}

private func network(_ text: String) throws -> IPNetwork {
    do throws(IPNetwork.ParseError) {
        return try IPNetwork(text)
    } catch {
        switch error {
        case .address:
            throw ValidationError("'\(text)' is not a numeric IP address or network.")
        case .prefix:
            throw ValidationError(
                "'\(text)' is not a network: the prefix length after the slash is at most 32 for "
                    + "IPv4 and 128 for IPv6.")
        case .bitsBeyondPrefix(let network, let address):
            throw ValidationError(
                "'\(text)' has bits beyond its prefix: give \(network) or \(address).")
        }
    }
}

private func user(_ text: String) throws -> UInt32 {
    guard let user = Account.user(text) else {
        throw ValidationError("There is no user '\(text)'.")
    }
    return user.uid
}

private func group(_ text: String) throws -> UInt32 {
    guard let group = Account.gid(text) else {
        throw ValidationError("There is no group '\(text)'.")
    }
    return group
}
