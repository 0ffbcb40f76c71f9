internal import ServerHost
internal import ArgumentParser
internal import LinuxHost
internal import LinuxIO
internal import NBDServer
internal import ProgramSupport

/// The clients that may connect.
struct AdmissionOptions: ParsableArguments {
    @Option(
        name: .customLong("allow-network"),
        help: ArgumentHelp(
            """
            Accept TCP clients from this network only: 192.0.2.0/24, 2001:db8::/32 or one address. \
            Repeatable. (default: any address)
            """, valueName: "network"),
        transform: IPNetwork.init(parsing:))
    var networks: [IPNetwork] = []

    @Option(
        name: .customLong("allow-user"),
        help: ArgumentHelp(
            """
            Accept only processes of this user on Unix sockets, besides those that --allow-group \
            permits. A name or a uid. Repeatable. (default: any user)
            """, valueName: "user"),
        completion: .user, transform: Account.uid(parsing:))
    var users: [UInt32] = []

    @Option(
        name: .customLong("allow-group"),
        help: ArgumentHelp(
            """
            Accept only processes of members of this group on Unix sockets, besides those that \
            --allow-user permits. A name or a gid. Repeatable. (default: any group)
            """, valueName: "group"),
        completion: .group, transform: Account.gid(parsing:))
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
            try require(
                networks.isEmpty && users.isEmpty && groups.isEmpty,
                "--allow-network, --allow-user and --allow-group have no effect with --stdio: "
                    + "leave them out. The process that starts the server chooses the client.")
            return
        }
        // The sockets that a service manager passes are not open yet. The start of the server checks them.
        guard !PassedListeners.arePresent else { return }
        if let problem = policy.problem(isTCP: addresses.isTCP, isUnix: !addresses.unix.isEmpty) {
            throw ValidationError(problem + ".")
        }
    }
}
