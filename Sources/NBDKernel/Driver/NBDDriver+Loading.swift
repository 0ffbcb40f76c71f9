internal import LinuxHost
internal import LinuxIO
public import SystemPackage

/// Why the driver cannot be used; its description is one sentence for people.
public enum NBDDriverError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kernel has no such driver, or may not load it; what modprobe says.
    case missing(String)
    /// The kernel does not let this process use it.
    case notPermitted
    /// Anything else.
    case failed(Errno)

    /// What is wrong, and what to do.
    public var description: String {
        switch self {
        case .missing(let reason):
            "this kernel has no nbd driver: load or install the module nbd (modprobe nbd"
                + (reason.isEmpty ? ")" : " says: \(reason))")
        case .notPermitted:
            "the kernel's nbd driver is for root alone: run this as root, or with CAP_SYS_ADMIN"
        case .failed(let error): "the kernel's nbd driver cannot be asked: \(error)"
        }
    }
}

extension NBDDriver {
    /// Finds the driver, and loads it when it is not there yet. modprobe(8)
    public static func open() throws(NBDDriverError) -> NBDDriver {
        if let driver = try found() { return driver }
        let reason = load()
        if let driver = try found() { return driver }
        throw .missing(reason)
    }

    /// Nil when it is not there.
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

    /// Answers what modprobe had to say when it did not work.
    private static func load() -> String {
        // Not every user has the second in PATH.
        for program in ["modprobe", "/sbin/modprobe"] {
            do throws(Errno) {
                let result = try ChildProcess.run(program, ["nbd"])
                let line = result.output.split(separator: "\n").first.map(String.init)
                return result.ending == .exited(0) ? "" : line ?? "it failed"
            } catch {
                if error != .noSuchFileOrDirectory { return "\(error)" }
            }
        }
        return "there is no modprobe"
    }
}
