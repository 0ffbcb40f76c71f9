public import SystemPackage

/// Why a disk could not be had from a backing; its description is one sentence for people. Whatever
/// it is, nothing that was there has been changed.
public enum BackingError: Error, Sendable, Equatable, CustomStringConvertible {
    /// It cannot be called so.
    case badName(String)
    /// The directory is not in a tmpfs or a hugetlbfs.
    case notMemory(directory: String)
    /// There is no hugetlbfs to have large pages from.
    case noReservedPages
    /// The directory is another user's, or others may write to it.
    case notOurs(directory: String)
    /// What has the name is no plain file.
    case notFile(path: String)
    /// Another server has it. Its process, if that could be told.
    case inUse(path: String, pid: Int32?)
    /// It is no backing, or its header is damaged.
    case damaged(path: String)
    /// Another version of this program has made it.
    case otherVersion(path: String, found: UInt32)
    /// The file does not have the length that its header tells. In bytes.
    case wrongLength(path: String, found: UInt64, told: UInt64)
    /// The disk in it is of another size than was asked for. In bytes.
    case otherSize(path: String, found: UInt64, wanted: UInt64)
    /// The memory for it is not to be had.
    case memory(RamDiskError)
    /// The kernel refused something else.
    case system(path: String, Errno)

    /// Which memory, what is wrong with it, and what to do.
    public var description: String {
        switch self {
        case .badName(let name):
            "\"\(name)\" is no name for a backing: one is up to \(BackingLocation.longestName) bytes "
                + "long, has no slash, and does not begin with a dot"
        case .notMemory(let directory):
            "\(directory) is not memory: a backing has to be in a tmpfs or a hugetlbfs"
        case .noReservedPages:
            "no hugetlbfs is mounted that a backing in reserved pages could be in: mount one with "
                + "mount -t hugetlbfs none /dev/hugepages"
        case .notOurs(let directory):
            "\(directory) belongs to another user, or others may write to it; choose another "
                + "directory for backings"
        case .notFile(let path): "\(path) is no plain file, so no disk can be kept in it"
        case .inUse(let path, let pid):
            "the backing \(path) is in use by "
                + (pid.map { "the server with process number \($0)" } ?? "another server")
        case .memory(let error): "\(error)"
        case .system(let path, let error): "cannot use the backing \(path): \(error)"
        default: "\(misfit); nothing was changed: remove it, or choose another name"
        }
    }

    /// What is wrong with a file that is there.
    private var misfit: String {
        switch self {
        case .damaged(let path): "\(path) is no backing of a disk, or its header is damaged"
        case .otherVersion(let path, let found):
            "the backing \(path) has version \(found), and this program knows version "
                + "\(BackingHeader.version)"
        case .wrongLength(let path, let found, let told):
            "the backing \(path) has \(found) bytes where its header tells \(told)"
        case .otherSize(let path, let found, let wanted):
            "the backing \(path) holds a disk of \(found.bytesText), not of \(wanted.bytesText)"
        default: ""
        }
    }
}
