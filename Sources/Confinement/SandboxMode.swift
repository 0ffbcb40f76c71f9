/// Whether a server confines itself once it is ready.
package enum SandboxMode: String, Sendable, CaseIterable {
    /// The server is not confined.
    case off
    /// The kernel logs the system calls that it would refuse, and allows them. Files are not restricted.
    case log
    /// The server confines itself as far as the kernel supports it.
    case on
}
