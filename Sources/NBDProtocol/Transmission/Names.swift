extension Command: CaseIterable {
    /// The commands of the specification that this package knows, in the order of their values, which
    /// are 0 to 7.
    public static var allCases: [Command] {
        [.read, .write, .disconnect, .flush, .trim, .cache, .writeZeroes, .blockStatus]
    }

    /// The command's name in statistics and reports: `write_zeroes`. `unknown` for a command that is not
    /// one of ``allCases``.
    public var name: String {
        switch self {
        case .read: "read"
        case .write: "write"
        case .disconnect: "disconnect"
        case .flush: "flush"
        case .trim: "trim"
        case .cache: "cache"
        case .writeZeroes: "write_zeroes"
        case .blockStatus: "block_status"
        default: "unknown"
        }
    }
}

extension WireError: CaseIterable {
    /// The errors of the specification, in the order of their values, after ``none``.
    public static var allCases: [WireError] {
        [0, 1, 5, 12, 22, 28, 75, 95, 108].map { WireError(rawValue: $0) }
    }

    /// The error's name in the specification, without its prefix: `EINVAL`. `none` for no error, and
    /// the value for an error that the specification does not have.
    public var name: String {
        switch rawValue {
        case 0: "none"
        case 1: "EPERM"
        case 5: "EIO"
        case 12: "ENOMEM"
        case 22: "EINVAL"
        case 28: "ENOSPC"
        case 75: "EOVERFLOW"
        case 95: "ENOTSUP"
        case 108: "ESHUTDOWN"
        default: "\(rawValue)"
        }
    }
}
