internal import CLinux
internal import Glibc
package import SystemPackage

/// A file that is read and written at offsets, and whose bytes are to survive a crash of the machine.
package struct DurableFile: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Creates a file that only its owner may read. open(2), `O_EXCL`
    ///
    /// - Throws: `fileExists` when there is something at the path, also a symbolic link.
    package init(creating path: String) throws(Errno) {
        descriptor = try Descriptor(
            opening: path, .readWrite, options: [.create, .exclusiveCreate],
            permissions: .ownerReadWrite)
    }

    /// Opens an existing file for reading and writing, never through a symbolic link. open(2)
    package init(updating path: String) throws(Errno) {
        descriptor = try Descriptor(
            opening: path, .readWrite, options: [.noFollow, .nonBlocking])
    }

    /// Opens an existing file for reading, never through a symbolic link. open(2)
    package init(reading path: String) throws(Errno) {
        descriptor = try Descriptor(opening: path, .readOnly, options: [.noFollow, .nonBlocking])
    }

    /// The status of the file at this moment. fstat(2)
    package var status: FileStatus {
        get throws(Errno) {
            var status = stat()
            try checkedErrno(unsafe fstat(descriptor.rawValue, &status))
            return FileStatus(status)
        }
    }

    /// Gives the file the owner, the group and the permissions of another one. A process that may not
    /// change the owner leaves it as it is. fchown(2), fchmod(2)
    package func copyAccess(from other: FileStatus) throws(Errno) {
        if fchown(descriptor.rawValue, other.uid, other.gid) < 0, errno != EPERM {
            throw Errno(rawValue: errno)
        }
        try checkedErrno(fchmod(descriptor.rawValue, other.permissions))
    }

    /// Reads until the region is full or the file ends, and returns how many bytes that were. pread(2)
    package func read(at offset: UInt64, into region: MemoryRegion) throws(Errno) -> Int {
        let file = FileDescriptor(rawValue: descriptor.rawValue)
        var filled = 0
        while filled < region.count {
            let rest = region.suffix(from: filled)
            let position = Int64(offset) + Int64(filled)
            let count = try withErrno {
                // Sound: the region is writable memory of this size.
                try unsafe file.read(
                    fromAbsoluteOffset: position,
                    into: UnsafeMutableRawBufferPointer(start: rest.base, count: rest.count))
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    /// Writes all bytes of a region at an offset. pwrite(2)
    ///
    /// - Throws: `noSpace` when the file system is full. Some of the bytes may have been written.
    package func write(_ region: MemoryRegion, at offset: UInt64) throws(Errno) {
        let file = FileDescriptor(rawValue: descriptor.rawValue)
        _ = try withErrno {
            // Sound: the region is readable memory of this size.
            try unsafe file.writeAll(
                toAbsoluteOffset: Int64(offset),
                UnsafeRawBufferPointer(start: region.base, count: region.count))
        }
    }

    /// Changes the size of the file; new bytes are a hole. ftruncate(2)
    package func resize(to size: UInt64) throws(Errno) {
        try checkedErrno(ftruncate(descriptor.rawValue, off_t(size)))
    }

    /// Allocates the blocks of a range, whose bytes stay as they are. fallocate(2)
    ///
    /// - Throws: `noSpace` when there are too few; `notSupported` when the file system cannot do it.
    package func allocate(_ range: Range<UInt64>) throws(Errno) {
        try checked(
            clinux_provision(descriptor.rawValue, off_t(range.lowerBound), off_t(range.count)))
    }

    /// Makes a range zero, and releases its whole blocks. fallocate(2), `FALLOC_FL_PUNCH_HOLE`
    ///
    /// - Throws: `notSupported` when the file system has no holes.
    package func punchHole(_ range: Range<UInt64>) throws(Errno) {
        try checked(
            clinux_punch(descriptor.rawValue, off_t(range.lowerBound), off_t(range.count)))
    }

    /// Returns the next run of bytes that is no hole, at or after an offset; nil when there is none.
    /// lseek(2), `SEEK_DATA` and `SEEK_HOLE`
    ///
    /// - Throws: `invalidArgument` when the file system does not know its holes.
    package func nextData(from offset: UInt64) throws(Errno) -> Range<UInt64>? {
        guard let run = try descriptor.nextData(from: Int(offset)) else { return nil }
        return UInt64(run.lowerBound)..<UInt64(run.upperBound)
    }

    /// Waits until the bytes and the size of the file are on the device. fsync(2)
    package func sync() throws(Errno) {
        while fsync(descriptor.rawValue) < 0 {
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
    }
}

/// Names in directories, and their changes.
package enum FileName {
    /// Gives a file another name, and removes the file that had it. rename(2)
    package static func rename(_ old: String, to new: String) throws(Errno) {
        try checkedErrno(unsafe Glibc.rename(old, new))
    }

    /// Removes a file's name. unlink(2)
    package static func remove(_ path: String) throws(Errno) {
        try checkedErrno(unsafe unlink(path))
    }

    /// Waits until a directory's names are on the device. fsync(2)
    ///
    /// A file system that does not sync directories, such as one over a network, reports
    /// `invalidArgument`; its names are as durable as they can be, so this is not an error.
    package static func sync(directory: String) throws(Errno) {
        let descriptor = try Descriptor(opening: directory, .readOnly, options: .directory)
        while fsync(descriptor.rawValue) < 0 {
            if errno == EINVAL { return }
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
    }
}
