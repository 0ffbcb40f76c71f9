internal import Glibc

/// The process that asks.
public enum CurrentProcess {
    /// The user whose rights it has; 0 is root. geteuid(2)
    public static var uid: UInt32 { geteuid() }

    /// Its number. getpid(2)
    public static var pid: Int32 { getpid() }

    /// Puts an @ in the place of the first letter of its command, as /proc shows it: systemd leaves a
    /// process of root that has one alone when it ends all others at the end of the machine, since file
    /// systems may need it until they are unmounted. https://systemd.io/ROOT_STORAGE_DAEMONS
    public static func markAsRootStorageDaemon() {
        // Sound: the kernel has put a command there, with its end; its first byte may be changed.
        guard CommandLine.argc > 0, let command = unsafe CommandLine.unsafeArgv[0] else { return }
        if unsafe command[0] != 0 { unsafe command[0] = CChar(UInt8(ascii: "@")) }
    }
}
