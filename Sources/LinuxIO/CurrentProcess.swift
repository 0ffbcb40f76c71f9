// Who this process is, to the kernel.

internal import Glibc

/// The process that asks.
public enum CurrentProcess {
    /// The user whose rights it has; 0 is root. geteuid(2)
    public static var user: UInt32 { geteuid() }

    /// Its number. getpid(2)
    public static var number: Int32 { getpid() }
}
