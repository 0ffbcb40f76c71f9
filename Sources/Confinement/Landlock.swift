internal import CLinux
internal import Glibc
internal import LinuxIO
internal import SystemPackage

/// The kernel's Landlock. With it a process gives up access to the file system (except what rules allow), to TCP, and
/// to abstract Unix sockets and signals of other processes. Each version of the interface can deny more. landlock(7)
enum Landlock {
    /// The version of the interface; 0 when the kernel has no Landlock, or when it was turned off at boot.
    static var version: Int { Int(clinux_landlock_abi()) }

    /// Binding and connecting TCP sockets, since version 4.
    private static var networkRights: UInt64 { version >= 4 ? 0b11 : 0 }

    /// Connecting to abstract Unix sockets of processes outside of this restriction, and sending signals to such
    /// processes. Since version 6.
    private static func scopes(sendsSignals: Bool) -> UInt64 {
        guard version >= 6 else { return 0 }
        // At first it also denied signals between threads of one process, each of which restricts itself here.
        let canLimitSignals = clinux_landlock_errata() & 0b10 != 0
        return canLimitSignals && !sendsSignals ? 0b11 : 0b01
    }

    /// Returns a ruleset that denies everything except these files. Paths that do not exist are skipped.
    ///
    /// - Parameter sendsSignals: whether the process sends signals to others.
    static func ruleset(
        allowing files: [FileAccess], sendsSignals: Bool
    ) throws(Errno) -> Descriptor {
        let deniable = FileAccess.Rights.deniable(abi: version)
        let ruleset = Descriptor(
            adopting: try checked(
                clinux_landlock_create(
                    deniable.rawValue, networkRights, scopes(sendsSignals: sendsSignals))))
        for file in files {
            let rights = file.rights.intersection(deniable)
            guard !rights.isEmpty else { continue }
            let descriptor = unsafe clinux_landlock_allow(
                ruleset.rawValue, file.path, rights.rawValue)
            // A server may run without a /proc or a /sys.
            if descriptor == -ENOENT || descriptor == -EACCES { continue }
            close(try checked(descriptor))
        }
        return ruleset
    }
}
