// Names in a directory, making one, removing one.

internal import Glibc
public import SystemPackage

/// Directories of the file system.
public enum Directory {
    /// The names in a directory, sorted, without "." and ".."; none when it cannot be read.
    /// readdir(3)
    public static func names(in path: String) -> [String] {
        guard let directory = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        // Sound: an entry is valid until the next is read, and its name ends with NUL.
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

    /// Makes a directory if there is none; answers whether there was none. mkdir(2)
    public static func make(_ path: String, mode: UInt32 = 0o755) throws(Errno) -> Bool {
        if unsafe mkdir(path, mode) == 0 { return true }
        guard errno == EEXIST else { throw Errno(rawValue: errno) }
        return false
    }

    /// Removes a directory if it is empty. rmdir(2)
    public static func removeEmpty(_ path: String) {
        _ = unsafe rmdir(path)
    }

    /// Removes a file, if there is one. unlink(2)
    public static func removeFile(_ path: String) {
        _ = unsafe unlink(path)
    }
}
