package import LinuxIO

/// The privileges of a process beyond those of every process. capabilities(7)
package struct Capabilities: Sendable {
    /// A capability; the raw value is its bit.
    package enum Capability: UInt64, Sendable {
        /// Locking any amount of memory. `CAP_IPC_LOCK`
        case memoryLocking = 14
        /// Attaching devices and mounting. `CAP_SYS_ADMIN`
        case administration = 21
    }

    private let bits: UInt64?

    /// The effective capabilities in a process's status. proc(5), `CapEff`
    package init(status: ProcFields) {
        bits = status["CapEff"].flatMap { UInt64($0, radix: 16) }
    }

    /// Returns whether the process has a capability; true when that is unknown, as the kernel will say so.
    package func has(_ capability: Capability) -> Bool {
        bits.map { $0 & 1 << capability.rawValue != 0 } ?? true
    }
}
