internal import LinuxHost
internal import LinuxIO

enum Privileges {
    /// Whether this process may attach devices and mount.
    static var canAdminister: Bool {
        Capabilities(status: ProcFields(path: "/proc/self/status")).has(.administration)
    }
}
