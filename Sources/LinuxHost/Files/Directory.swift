internal import CLinux
internal import Glibc
package import SystemPackage

/// Directories of the file system.
package enum Directory {
    /// Returns the names in a directory, sorted, without "." and ".."; none when it cannot be read.
    /// readdir(3)
    package static func names(in path: String) -> [String] {
        guard let directory = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        // Sound: an entry is valid until the next one is read, and its name ends with NUL.
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { name in
                    unsafe String(cString: name)
                }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Whether a path is an existing directory. stat(2)
    package static func exists(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Creates a directory and the missing ones above it; returns how many it has created.
    package static func makeAll(_ path: String, mode: UInt32 = 0o755) throws(Errno) -> Int {
        if exists(path) { return 0 }
        let parent = path.split(separator: "/").dropLast().joined(separator: "/")
        let above = parent.isEmpty ? 0 : try makeAll("/" + parent, mode: mode)
        return try make(path, mode: mode) ? above + 1 : above
    }

    /// Removes a directory and those above it, `levels` in all, as long as they are empty. rmdir(2)
    package static func removeEmpty(_ path: String, levels: Int) {
        var parts = path.split(separator: "/")
        for _ in 0..<levels where !parts.isEmpty {
            removeEmpty("/" + parts.joined(separator: "/"))
            parts.removeLast()
        }
    }

    /// Creates a directory; returns false when the path exists already. mkdir(2)
    package static func make(_ path: String, mode: UInt32 = 0o755) throws(Errno) -> Bool {
        if unsafe mkdir(path, mode) == 0 { return true }
        guard errno == EEXIST else { throw Errno(rawValue: errno) }
        return false
    }

    /// Removes a directory if it is empty. rmdir(2)
    package static func removeEmpty(_ path: String) {
        _ = unsafe rmdir(path)
    }

    /// Removes a file, if there is one. unlink(2)
    package static func removeFile(_ path: String) {
        _ = unsafe unlink(path)
    }
}
