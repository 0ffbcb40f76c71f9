internal import LinuxIO
internal import SystemPackage

/// The name of a backing, and the directory that it is in.
public struct BackingLocation: Sendable, Equatable {
    /// The file's name.
    public let name: String
    /// A directory in a tmpfs or a hugetlbfs. If it is missing, it is made for the current user
    /// alone.
    public let directory: String

    /// The largest number of bytes in a name.
    public static var longestName: Int { 200 }

    /// A name in a directory. Opening the backing checks the name (``isName(_:)``) and the
    /// directory.
    public init(name: String, directory: String) {
        self.name = name
        self.directory = directory
    }

    /// Returns whether a backing can have this name: a file name of 1 to ``longestName`` bytes
    /// without slashes and control characters, which does not begin with a dot.
    public static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= longestName && !text.hasPrefix(".")
            && !text.utf8.contains { $0 == UInt8(ascii: "/") || $0 < 0x20 || $0 == 0x7f }
    }

    /// The path of the file.
    var path: String { "\(directory)/\(name)" }
}
