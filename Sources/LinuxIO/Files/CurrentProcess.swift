internal import CLinux
internal import Glibc

/// The calling process.
public enum CurrentProcess {
    /// The user whose rights it has; 0 is root. geteuid(2)
    public static var uid: UInt32 { geteuid() }

    /// The process id. getpid(2)
    public static var pid: Int32 { getpid() }

    /// Replaces the first letter of the command, as /proc shows it, by an @. At shutdown systemd kills all
    /// other processes, but not a process of root with that mark, because file systems may depend on it
    /// until they are unmounted. https://systemd.io/ROOT_STORAGE_DAEMONS
    public static func markAsRootStorageDaemon() {
        // Sound: the kernel has put a NUL-terminated command there, whose first byte may be changed.
        guard CommandLine.argc > 0, let command = unsafe CommandLine.unsafeArgv[0] else { return }
        if unsafe command[0] != 0 { unsafe command[0] = CChar(UInt8(ascii: "@")) }
    }
}
