internal import CLinux
internal import Glibc
public import SystemPackage

/// A file that is open for reading.
public struct InputFile: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Opens a file. open(2)
    public init(path: String) throws(Errno) {
        descriptor = try Descriptor(opening: path, .readOnly)
    }

    /// The permissions of the file, the lowest nine bits of its mode. fstat(2), `st_mode`
    public var permissions: UInt32 {
        get throws(Errno) { try self.status().st_mode & 0o777 }
    }

    /// The size of a regular file in bytes; nil for any other file. fstat(2), `st_size`
    public var size: UInt64? {
        get throws(Errno) {
            let status = try self.status()
            return status.st_mode & S_IFMT == S_IFREG ? UInt64(status.st_size) : nil
        }
    }

    /// The bytes that a file has storage for, which are fewer than its size if it has holes; nil for a device, a pipe
    /// or a socket. fstat(2), `st_blocks`
    public var storedBytes: UInt64? {
        get throws(Errno) {
            let status = try self.status()
            return status.st_mode & S_IFMT == S_IFREG ? UInt64(status.st_blocks) * 512 : nil
        }
    }

    private func status() throws(Errno) -> stat {
        var status = stat()
        try checkedErrno(unsafe fstat(descriptor.rawValue, &status))
        return status
    }

    /// Returns the next run of bytes that is no hole, at or after an offset; nil when there is none. It moves
    /// the position at which ``read(into:)`` continues: use ``seek(to:)`` before that. lseek(2), `SEEK_DATA` and
    /// `SEEK_HOLE`
    ///
    /// - Throws: `invalidArgument` when the file system does not know its holes.
    public func nextData(from offset: UInt64) throws(Errno) -> Range<UInt64>? {
        guard let run = try descriptor.nextData(from: Int(offset)) else { return nil }
        return UInt64(run.lowerBound)..<UInt64(run.upperBound)
    }

    /// Moves the position of the next read to an offset. lseek(2)
    public func seek(to offset: UInt64) throws(Errno) {
        guard lseek(descriptor.rawValue, off_t(offset), SEEK_SET) >= 0 else {
            throw Errno(rawValue: errno)
        }
    }

    /// Reads from the current position until the region is full or the file ends, and returns how many
    /// bytes that were. read(2)
    public func read(into region: MemoryRegion) throws(Errno) -> Int {
        var filled = 0
        while filled < region.count {
            let count = try descriptor.read(into: region.suffix(from: filled))
            if count == 0 { break }
            filled += count
        }
        return filled
    }
}

extension Descriptor {
    /// Reads once, at most as many bytes as the region has; returns 0 at the end of the file. read(2)
    package borrowing func read(into region: MemoryRegion) throws(Errno) -> Int {
        let file = FileDescriptor(rawValue: rawValue)
        return try withErrno {
            // Sound: the region is writable memory of this size.
            try unsafe file.read(
                into: UnsafeMutableRawBufferPointer(start: region.base, count: region.count))
        }
    }

    /// Returns the next run of data, at or after an offset; nil when there is none. lseek(2), `SEEK_DATA` and
    /// `SEEK_HOLE`
    borrowing func nextData(from offset: Int) throws(Errno) -> Range<Int>? {
        let start = clinux_seek(rawValue, off_t(offset), 1)
        if start == off_t(-ENXIO) { return nil }
        guard start >= 0 else { throw Errno(rawValue: CInt(-start)) }
        let end = clinux_seek(rawValue, start, 0)
        guard end > start else { throw end < 0 ? Errno(rawValue: CInt(-end)) : .invalidArgument }
        return Int(start)..<Int(end)
    }
}
