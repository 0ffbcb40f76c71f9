internal import CLinux
internal import Glibc
public import SystemPackage

/// Files that are read and written whole.
public enum TextFile {
    /// The longest text that is read, in bytes.
    static var limit: Int { 4 << 20 }

    /// Returns the text of a file; nil when it cannot be read, for whatever reason. Use ``contents(of:)``
    /// where the reason matters, which is wherever a missing file has consequences.
    public static func read(_ path: String) -> String? { try? contents(of: path) }

    /// Returns the text of a file, at most its first ``limit`` bytes. read(2)
    public static func contents(of path: String) throws(Errno) -> String {
        let file = try Descriptor(opening: path, .readOnly)
        let input = FileDescriptor(rawValue: file.rawValue)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < limit {
            let count = try withErrno {
                try unsafe chunk.withUnsafeMutableBytes { try unsafe input.read(into: $0) }
            }
            if count == 0 { break }
            bytes += chunk.prefix(count)
        }
        extendLifetime(file)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Replaces a file's contents atomically: a reader sees the old text or the new one. Only the
    /// file's owner may read it. rename(2)
    public static func replace(_ path: String, with text: String) throws(Errno) {
        let draft = path + ".new"
        do throws(Errno) {
            let file = try Descriptor(
                opening: draft, .writeOnly, options: [.create, .truncate, .noFollow],
                permissions: .ownerReadWrite)
            try write(text, to: file)
            try checkedErrno(unsafe rename(draft, path))
        } catch {
            unsafe unlink(draft)
            throw error
        }
    }

    /// Writes a short text at the start of a file, in one call. pwrite(2)
    package static func write(_ text: String, to file: borrowing Descriptor) throws(Errno) {
        let bytes = Array(text.utf8)
        let count = unsafe pwrite(file.rawValue, bytes, bytes.count, 0)
        try checkedErrno(CInt(clamping: count))
        guard count == bytes.count else { throw .noSpace }
    }
}

/// The fields of a text such as /proc/meminfo, /proc/self/status or a control group's memory.stat: one in each
/// line, "name: value" or "name value". proc(5)
package struct ProcFields {
    private let lines: [Substring]

    /// The fields of a file; none when it cannot be read.
    package init(path: String) {
        self.init(TextFile.read(path) ?? "")
    }

    /// The fields of a text.
    package init(_ text: String) {
        lines = text.split(separator: "\n")
    }

    /// The first word of a field's value; nil when there is no such field.
    package subscript(name: String) -> Substring? {
        for line in lines {
            let words = line.split(maxSplits: 2) { $0 == " " || $0 == "\t" }
            if let first = words.first, first == name || first == "\(name):" {
                return words.dropFirst().first
            }
        }
        return nil
    }

    /// The value of a field that the kernel gives in KiB, in bytes.
    package func bytes(ofKiB name: String) -> Int? {
        self[name].flatMap { Int($0) }.map { $0 << 10 }
    }
}
