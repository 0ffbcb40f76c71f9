/// The name of a disk's memory, and the directory that it is in.
public struct BackingLocation: Sendable, Equatable {
    /// What people call it.
    public let name: String
    /// A directory in a tmpfs or a hugetlbfs; made when it is missing, for this user alone.
    public let directory: String

    /// Longest name, in bytes.
    public static var longestName: Int { 200 }

    /// A name in a directory. What it may be is found out when it is used: ``isName(_:)``
    public init(name: String, directory: String) {
        self.name = name
        self.directory = directory
    }

    /// Whether a backing can be called so: it is a file's name, that is all, and no hidden one's.
    public static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= longestName && !text.hasPrefix(".")
            && !text.utf8.contains { $0 == UInt8(ascii: "/") || $0 < 0x20 || $0 == 0x7f }
    }

    /// The file.
    var path: String { "\(directory)/\(name)" }
}
