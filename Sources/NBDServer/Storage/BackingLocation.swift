internal import LinuxIO
internal import SystemPackage

/// The name of a backing, and the directory that it is in.
public struct BackingLocation: Sendable, Equatable {
    /// The file's name.
    public let name: String
    /// A directory in a tmpfs or a hugetlbfs. If it is missing, it is made for the current user
    /// alone.
    public let directory: String

    /// Most bytes in a name.
    public static var longestName: Int { 200 }

    /// A name in a directory. Opening the backing checks the name (``isName(_:)``) and the
    /// directory.
    public init(name: String, directory: String = Self.standardDirectory) {
        self.name = name
        self.directory = directory
    }

    /// Returns whether a backing can have this name: a file name of 1 to ``longestName`` bytes
    /// without slashes and control characters, which does not begin with a dot.
    public static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= longestName && !text.hasPrefix(".")
            && !text.utf8.contains { $0 == UInt8(ascii: "/") || $0 < 0x20 || $0 == 0x7f }
    }

    /// The default directory, in /dev/shm, the system's tmpfs for shared memory.
    public static var standardDirectory: String { directory(in: "/dev/shm") }

    /// The default directory for backings in reserved huge pages, in the first hugetlbfs that is
    /// mounted; nil if none is.
    public static var reservedPagesDirectory: String? {
        ReservedPages.mountPoint.map { directory(in: $0) }
    }

    /// Each user has a directory of their own, since a user cannot use another's backings.
    private static func directory(in parent: String) -> String {
        let user = CurrentProcess.uid
        return user == 0 ? "\(parent)/ramdisk-nbd" : "\(parent)/ramdisk-nbd-\(user)"
    }

    /// The path of the file.
    var path: String { "\(directory)/\(name)" }
}
