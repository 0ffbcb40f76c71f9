internal import LinuxIO
package import NBDServer
internal import ProgramSupport

extension AdmissionPolicy {
    /// Returns what is wrong with this policy for a server with these kinds of sockets; nil when every part of it
    /// has an effect. A part that applies to no socket protects nothing.
    package func problem(isTCP: Bool, isUnix: Bool) -> String? {
        if let network = networks.first, !isTCP {
            return
                "--allow-network \(network) has no effect without a TCP address: give --listen, or "
                + "--allow-user for Unix sockets"
        }
        guard users.isEmpty && groups.isEmpty || isUnix else {
            return
                "--allow-user and --allow-group have no effect without a Unix socket: give --unix, "
                + "or --allow-network for TCP"
        }
        return nil
    }

    /// Throws when a part of the policy applies to none of these sockets.
    func check(for listeners: [Listener]) throws(Failure) {
        let unix = listeners.count { $0.address.path != nil }
        if let problem = problem(isTCP: unix < listeners.count, isUnix: unix > 0) {
            throw .usage(problem)
        }
    }
}
