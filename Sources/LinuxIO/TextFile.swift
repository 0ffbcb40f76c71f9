// Small files of text, such as the kernel's own under /proc and /sys.

internal import Glibc
public import SystemPackage

/// Files that are read and written whole.
public enum TextFile {
    /// Longest text that is read, in bytes.
    static var limit: Int { 1 << 20 }

    /// The text of a file; nil when it cannot be read.
    public static func read(_ path: String) -> String? {
        do throws(Errno) {
            let file = try InputFile(path: path)
            let buffer = try MemoryMapping(privateBytes: limit)
            let count = try file.read(into: buffer.region)
            return String(decoding: buffer.region.slice(at: 0, count: count).bytes, as: UTF8.self)
        } catch {
            return nil
        }
    }

    /// Puts a text in a file's place, so that whoever reads it sees the old one or the new one.
    /// Only its owner can read it. rename(2)
    public static func replace(_ path: String, with text: String) throws(Errno) {
        let draft = path + ".new"
        do throws(Errno) {
            let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
            let number = try checkedErrno(unsafe open(draft, flags, 0o600))
            let file = Descriptor(adopting: number)
            let bytes = Array(text.utf8)
            let count = unsafe write(file.rawValue, bytes, bytes.count)
            try checkedErrno(CInt(clamping: count))
            guard count == bytes.count else { throw Errno.noSpace }
            try checkedErrno(unsafe rename(draft, path))
        } catch {
            unsafe unlink(draft)
            throw error
        }
    }
}
