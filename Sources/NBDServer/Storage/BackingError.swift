public import SystemPackage

/// An error while opening or making a backing. An existing file is unchanged in every case. Its
/// description is one sentence for people.
#if hasAttribute(nonexhaustive)
    @nonexhaustive
#endif
public enum BackingError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The name is not one that a backing can have.
    case badName(String)
    /// The directory is not in a tmpfs or a hugetlbfs.
    case notMemory(directory: String)
    /// No hugetlbfs is mounted.
    case noReservedPages
    /// The directory belongs to another user, or other users may write to it.
    case notOurs(directory: String)
    /// There is something of that name that is not a regular file.
    case notFile(path: String)
    /// Another server has the file open. Its pid, if the header contains it.
    case inUse(path: String, pid: Int32?)
    /// The file is not a backing, or its header is damaged.
    case damaged(path: String)
    /// The file was made by another version of this server.
    case otherVersion(path: String, found: UInt32)
    /// The file does not have the length that its header requires. In bytes.
    case wrongLength(path: String, found: UInt64, expected: UInt64)
    /// The disk in the file does not have the wanted size. In bytes.
    case otherSize(path: String, found: UInt64, wanted: UInt64)
    /// There is no memory for the disk.
    case memory(RamDiskError)
    /// Another error of the kernel.
    case system(path: String, Errno)

    /// The file or directory, what is wrong with it, and what to do.
    public var description: String {
        switch self {
        case .badName(let name):
            "\"\(name)\" cannot be the name of a backing: choose one of up to "
                + "\(BackingLocation.longestName) bytes that has no slash and no control character, and "
                + "does not begin with a dot"
        case .notMemory(let directory):
            "\(directory) is not in memory: choose a directory in a tmpfs or a hugetlbfs for backings"
        case .noReservedPages:
            "no hugetlbfs is mounted, so there is no place for a backing in reserved huge pages: mount "
                + "one with mount -t hugetlbfs none /dev/hugepages"
        case .notOurs(let directory):
            "\(directory) belongs to another user, or other users may write to it; choose another "
                + "directory for backings"
        case .notFile(let path):
            "\(path) is not a regular file, so it cannot hold a disk; choose another name"
        case .inUse(let path, let pid):
            "the backing \(path) is in use by "
                + (pid.map { "the server with pid \($0)" } ?? "another server")
        case .memory(let error): "\(error)"
        case .system(let path, let error): "cannot use the backing \(path): \(error)"
        default: "\(mismatch); it was not changed: remove it, or choose another name"
        }
    }

    /// The problem with an existing file.
    private var mismatch: String {
        switch self {
        case .damaged(let path): "\(path) is not the backing of a disk, or its header is damaged"
        case .otherVersion(let path, let found):
            "the backing \(path) has version \(found), and this server reads versions "
                + "\(BackingHeader.versions.lowerBound) to \(BackingHeader.versions.upperBound)"
        case .wrongLength(let path, let found, let expected):
            "the backing \(path) has \(found) bytes, and its header requires \(expected)"
        case .otherSize(let path, let found, let wanted):
            "the backing \(path) holds a disk of \(found.bytesText), not of \(wanted.bytesText)"
        default: ""
        }
    }
}
