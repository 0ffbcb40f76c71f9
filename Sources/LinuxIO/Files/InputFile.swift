internal import CLinux
internal import Glibc
public import SystemPackage

/// A file that is open for reading.
public struct InputFile: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Opens a file. open(2)
    public init(path: String) throws(Errno) {
        let number = try checkedErrno(unsafe open(path, O_RDONLY | O_CLOEXEC))
        descriptor = Descriptor(adopting: number)
    }

    /// Who may do what with it, the lowest nine bits. fstat(2), `st_mode`
    public var permissions: UInt32 {
        get throws(Errno) {
            var status = stat()
            try checkedErrno(unsafe fstat(descriptor.rawValue, &status))
            return status.st_mode & 0o777
        }
    }

    /// Bytes in a regular file; nil for anything else. fstat(2), `st_size`
    public var size: UInt64? {
        get throws(Errno) {
            var status = stat()
            try checkedErrno(unsafe fstat(descriptor.rawValue, &status))
            return status.st_mode & S_IFMT == S_IFREG ? UInt64(status.st_size) : nil
        }
    }

    /// The next run of bytes, at or after an offset, that is no hole; nil when there is none. Throws
    /// when the file system cannot tell. What is read next begins where the last call has left the file:
    /// ``seek(to:)``. lseek(2), `SEEK_DATA` and `SEEK_HOLE`
    public func nextData(from offset: UInt64) throws(Errno) -> Range<UInt64>? {
        let start = clinux_seek(descriptor.rawValue, off_t(offset), 1)
        if start == off_t(-ENXIO) { return nil }
        guard start >= 0 else { throw Errno(rawValue: CInt(-start)) }
        let end = clinux_seek(descriptor.rawValue, start, 0)
        guard end > start else { throw end < 0 ? Errno(rawValue: CInt(-end)) : .invalidArgument }
        return UInt64(start)..<UInt64(end)
    }

    /// Has the next read begin at an offset. lseek(2)
    public func seek(to offset: UInt64) throws(Errno) {
        guard lseek(descriptor.rawValue, off_t(offset), SEEK_SET) >= 0 else {
            throw Errno(rawValue: errno)
        }
    }

    /// Reads what comes next, until the region is full or the file at its end; answers how many bytes
    /// that were. read(2)
    public func read(into region: MemoryRegion) throws(Errno) -> Int {
        var filled = 0
        while filled < region.count {
            let rest = region.suffix(from: filled)
            let count = unsafe Glibc.read(descriptor.rawValue, rest.base, rest.count)
            if count == 0 { break }
            if count < 0, errno == EINTR { continue }
            try checkedErrno(CInt(clamping: count))
            filled += count
        }
        return filled
    }
}
