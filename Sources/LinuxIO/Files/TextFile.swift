internal import Glibc
public import SystemPackage

/// Files that are read and written whole.
public enum TextFile {
    /// Longest text that is read, in bytes.
    static var limit: Int { 4 << 20 }

    /// The text of a file; nil when it cannot be read, for whatever reason. Where the reason matters, and
    /// it does wherever "there is none" has consequences: ``contents(of:)``.
    public static func read(_ path: String) -> String? { try? contents(of: path) }

    /// The text of a file, at most ``limit`` bytes of it. read(2)
    public static func contents(of path: String) throws(Errno) -> String {
        let number = try checkedErrno(unsafe open(path, O_RDONLY | O_CLOEXEC))
        let file = Descriptor(adopting: number)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < limit {
            let count = unsafe Glibc.read(file.rawValue, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            try checkedErrno(CInt(clamping: count))
            if count == 0 { break }
            bytes += chunk.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Puts a text in a file's place, so that whoever reads it sees the old one or the new one.
    /// Only its owner can read it. rename(2)
    public static func replace(_ path: String, with text: String) throws(Errno) {
        let draft = path + ".new"
        do throws(Errno) {
            let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
            let number = try checkedErrno(unsafe open(draft, flags, 0o600))
            let file = Descriptor(adopting: number)
            try write(text, to: file)
            try checkedErrno(unsafe rename(draft, path))
        } catch {
            unsafe unlink(draft)
            throw error
        }
    }

    /// Writes a short text at a file's start, whole.
    package static func write(_ text: String, to file: borrowing Descriptor) throws(Errno) {
        let bytes = Array(text.utf8)
        let count = unsafe pwrite(file.rawValue, bytes, bytes.count, 0)
        try checkedErrno(CInt(clamping: count))
        guard count == bytes.count else { throw .noSpace }
    }
}
