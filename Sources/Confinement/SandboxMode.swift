/// Whether a server confines itself once it is ready.
package enum SandboxMode: String, Sendable, CaseIterable {
    /// It does not.
    case off
    /// The kernel logs the system calls that it would refuse, and allows them. Files are not restricted.
    case log
    /// It does, as far as the kernel can.
    case on
}
