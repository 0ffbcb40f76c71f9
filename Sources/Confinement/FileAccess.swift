/// The rights of a confined server to the files at, or below, a path.
package struct FileAccess: Sendable, Equatable {
    /// The rights that Landlock distinguishes, with the kernel's values. linux/landlock.h
    struct Rights: OptionSet, Sendable, Equatable {
        let rawValue: UInt64

        static let writeFile = Rights(rawValue: 1 << 1)
        static let readFile = Rights(rawValue: 1 << 2)
        static let readDirectory = Rights(rawValue: 1 << 3)
        static let removeDirectory = Rights(rawValue: 1 << 4)
        static let removeFile = Rights(rawValue: 1 << 5)
        static let makeFile = Rights(rawValue: 1 << 8)
        static let truncate = Rights(rawValue: 1 << 14)
        static let controlDevice = Rights(rawValue: 1 << 15)

        /// The rights that a version of Landlock's interface can deny. Moving files to another directory (`REFER`) is
        /// always denied, also by the first version, which has no name for it.
        static func deniable(abi: Int) -> Rights {
            // Bits 0 to 12, then one for each of the versions 2, 3 and 5.
            let bits: UInt64 =
                switch abi {
                case ...1: (1 << 13) - 1
                case 2: (1 << 14) - 1
                case 3, 4: (1 << 15) - 1
                default: (1 << 16) - 1
                }
            return Rights(rawValue: bits)
        }
    }

    let path: String
    let rights: Rights
    /// Whether the server opens files there for writing.
    var writes: Bool { rights.contains(.writeFile) }

    /// Allows reading files.
    package static func reading(_ path: String) -> FileAccess {
        FileAccess(path: path, rights: .readFile)
    }

    /// Allows listing and opening directories.
    package static func listing(_ path: String) -> FileAccess {
        FileAccess(path: path, rights: .readDirectory)
    }

    /// Allows removing the names of files in a directory.
    package static func removing(in directory: String) -> FileAccess {
        FileAccess(path: directory, rights: .removeFile)
    }

    /// Allows removing empty directories in a directory.
    package static func removingDirectories(in directory: String) -> FileAccess {
        FileAccess(path: directory, rights: .removeDirectory)
    }

    /// Allows making, reading, writing, renaming and removing files in a directory.
    package static func replacing(in directory: String) -> FileAccess {
        FileAccess(
            path: directory,
            rights: [.readFile, .readDirectory, .writeFile, .makeFile, .removeFile, .truncate])
    }

    /// Allows reading and writing an existing file.
    package static func writing(_ path: String) -> FileAccess {
        FileAccess(path: path, rights: [.readFile, .writeFile, .truncate])
    }

    /// Allows opening a terminal and reading its settings.
    package static func asking(terminal path: String) -> FileAccess {
        FileAccess(path: path, rights: [.readFile, .controlDevice])
    }
}
