internal import LinuxHost
internal import LinuxIO
package import SystemPackage

/// The reason why the driver cannot be used. Its description is one sentence for an error message.
package enum NBDDriverError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kernel does not have the driver and cannot load it; the output of modprobe.
    case missing(String)
    /// This process may not use the driver.
    case notPermitted
    /// Any other error.
    case failed(Errno)

    /// The problem, and what to do about it.
    package var description: String {
        switch self {
        case .missing(let reason):
            "this kernel has no nbd driver: load or install the module nbd (modprobe nbd"
                + (reason.isEmpty ? ")" : " failed: \(reason))")
        case .notPermitted:
            "only root may use the kernel's nbd driver: run this as root, or with CAP_SYS_ADMIN"
        case .failed(let error): "cannot use the kernel's nbd driver: \(error)"
        }
    }
}

extension NBDDriver {
    /// Opens the driver, and loads its module first if necessary. modprobe(8)
    package static func open() throws(NBDDriverError) -> NBDDriver {
        if let driver = try found() { return driver }
        let reason = load()
        if let driver = try found() { return driver }
        throw .missing(reason)
    }

    /// Opens the driver. Returns nil if the kernel does not have it.
    private static func found() throws(NBDDriverError) -> NBDDriver? {
        do throws(Errno) {
            return try NBDDriver()
        } catch {
            switch error {
            case .noSuchFileOrDirectory, .protocolNotSupported, .addressFamilyNotSupported:
                return nil
            case .permissionDenied, .notPermitted: throw .notPermitted
            default: throw .failed(error)
            }
        }
    }

    /// Runs modprobe. Returns the first line of its output if it fails, or an empty string.
    private static func load() -> String {
        // /sbin is not in every user's PATH.
        for program in ["modprobe", "/sbin/modprobe"] {
            do throws(Errno) {
                let result = try ChildProcess.run(program, ["nbd"])
                let line = result.output.split(separator: "\n").first.map(String.init)
                return result.ending == .exited(0) ? "" : line ?? "no output"
            } catch {
                if error != .noSuchFileOrDirectory { return "\(error)" }
            }
        }
        return "there is no modprobe"
    }
}
