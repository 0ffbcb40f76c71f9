package import LinuxIO
package import NBDServer
package import ProgramSupport

extension AdmissionPolicy {
    /// What is wrong with this policy where clients can come over these kinds of sockets: a part of it
    /// that applies to none of them protects nothing. Nil when all of it has an effect.
    package func problem(isTCP: Bool, isUnix: Bool) -> String? {
        if let network = networks.first, !isTCP {
            return
                "--allow \(network) is about TCP, but there is no TCP address: give --listen, or "
                + "--allow-uid for Unix sockets"
        }
        guard users.isEmpty && groups.isEmpty || isUnix else {
            return
                "--allow-uid and --allow-gid are about Unix sockets, but there is none: give --unix, "
                + "or --allow for TCP"
        }
        return nil
    }

    /// Throws when a part of the policy applies to none of these sockets.
    package func check(for listeners: [Listener]) throws(Failure) {
        let unix = listeners.count { $0.address.path != nil }
        if let problem = problem(isTCP: unix < listeners.count, isUnix: unix > 0) {
            throw .usage(problem)
        }
    }
}
