internal import LinuxHost
internal import LinuxIO

package enum Privileges {
    /// Whether this process may attach devices and mount.
    package static var canAdminister: Bool {
        Capabilities(status: ProcFields(path: "/proc/self/status")).has(.administration)
    }
}
