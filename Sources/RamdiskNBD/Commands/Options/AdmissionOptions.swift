// Who may connect.

internal import ServerHost
internal import ArgumentParser
internal import LinuxHost
internal import LinuxIO
internal import NBDServer

struct AdmissionOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Take TCP clients in from this network only: 192.0.2.0/24, 2001:db8::/32 or one address. \
            Can be given more than once. (default: from anywhere)
            """, valueName: "network"),
        transform: network)
    var allow: [IPNetwork] = []

    @Option(
        name: .customLong("allow-uid"),
        help: ArgumentHelp(
            """
            Take this user's processes in on Unix sockets, by number or name, and nobody else but \
            those of --allow-gid. Can be given more than once. (default: everybody)
            """, valueName: "user"),
        transform: user)
    var allowUID: [UInt32] = []

    @Option(
        name: .customLong("allow-gid"),
        help: ArgumentHelp(
            """
            Take processes of this group's members in on Unix sockets, by number or name, and nobody \
            else but those of --allow-uid. Can be given more than once. (default: everybody)
            """, valueName: "group"),
        transform: group)
    var allowGID: [UInt32] = []

    /// The same for the engine.
    var policy: AdmissionPolicy {
        var policy = AdmissionPolicy()
        policy.networks = allow
        policy.users = Set(allowUID)
        policy.groups = Set(allowGID)
        return policy
    }

    /// Refuses what would be without effect: who gives it believes to be protected by it.
    func validate(for addresses: ListenOptions) throws {
        guard !addresses.stdio else {
            guard allow.isEmpty, allowUID.isEmpty, allowGID.isEmpty else {
                throw ValidationError(
                    "With --stdio there is one client, and whoever starts this program lets it in: "
                        + "--allow, --allow-uid and --allow-gid cannot be given.")
            }
            return
        }
        // What a service manager passes is checked when the sockets are there.
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
            throw ValidationError("'\(text)' is no address by number, or network of such.")
        case .prefix:
            throw ValidationError(
                "'\(text)' is no network: after the slash comes a number of bits, up to 32 for "
                    + "IPv4 and 128 for IPv6.")
        case .bitsBeyondPrefix(let network, let address):
            throw ValidationError(
                "'\(text)' has bits beyond its prefix: say \(network) or \(address).")
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
