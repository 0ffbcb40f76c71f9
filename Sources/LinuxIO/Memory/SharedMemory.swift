internal import CLinux
internal import Glibc
public import SystemPackage

/// An open file whose bytes are memory, in a tmpfs or hugetlbfs, and the duty to close it.
public struct MemoryFile: ~Copyable, Sendable {
    let descriptor: Descriptor
    /// Bytes in a page of its file system, which is the unit of allocation.
    public let pageSize: Int
    /// The size of the file in bytes.
    public private(set) var size: Int
    private let identity: FileIdentity

    /// Creates an empty file in a directory. It has no name until ``SharedMemory/link(at:)``, and the
    /// kernel removes it when it is closed without one. open(2), `O_TMPFILE`
    ///
    /// - Throws: `notSupported` when the directory is in another kind of file system.
    public init(unnamedIn directory: String) throws(Errno) {
        try self.init(
            Descriptor(adopting: try checked(unsafe clinux_open_unnamed(directory))))
    }

    /// Opens an existing file, never through a symbolic link, and never waiting for the other end of a
    /// pipe. open(2)
    ///
    /// - Throws: `notSupported` when the file is in another kind of file system, `invalidArgument` or
    ///   `tooManySymbolicLinkLevels` when it is not a regular file.
    public init(path: String) throws(Errno) {
        try self.init(
            Descriptor(opening: path, .readWrite, options: [.noFollow, .nonBlocking]))
    }

    private init(_ descriptor: consuming Descriptor) throws(Errno) {
        let file = descriptor.rawValue
        var status = stat()
        try checkedErrno(unsafe fstat(file, &status))
        guard status.st_mode & S_IFMT == S_IFREG, let identity = FileIdentity(descriptor: file)
        else { throw .invalidArgument }
        var page: UInt64 = 0
        guard try checked(unsafe clinux_memory_kind(file, &page)) != 0 else {
            throw .notSupported
        }
        self.descriptor = descriptor
        size = Int(status.st_size)
        pageSize = Int(page)
        self.identity = identity
    }

    /// Locks the file for this process alone, as long as it is open. flock(2)
    ///
    /// - Throws: `wouldBlock` when another process has locked it.
    public func lock() throws(Errno) {
        while flock(descriptor.rawValue, LOCK_EX | LOCK_NB) < 0 {
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
    }

    /// Grows the file to a size, and allocates memory for its first bytes. New bytes read as zero.
    /// ftruncate(2), fallocate(2)
    public mutating func grow(to size: Int, provisioning count: Int) throws(Errno) {
        try checkedErrno(ftruncate(descriptor.rawValue, off_t(size)))
        try checked(clinux_provision(descriptor.rawValue, 0, off_t(count)))
        self.size = size
    }

    /// Whether a path leads to this file: another process may have removed or replaced it.
    public func isAt(_ path: String) -> Bool { FileIdentity(path: path) == identity }

    /// Returns the first bytes of the file, fewer when it is shorter. pread(2)
    public func bytes(count: Int) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let result = unsafe pread(descriptor.rawValue, &bytes, count, 0)
        try checkedErrno(CInt(clamping: result))
        return Array(bytes.prefix(result))
    }

    /// Transfers ownership of the descriptor to the caller.
    consuming func releaseDescriptor() -> Descriptor { descriptor }

    /// Creates a directory for such files, which other users cannot enter, unless it exists. mkdir(2)
    ///
    /// - Throws: `notDirectory` when the path is not a directory, `notPermitted` when it belongs to another user or
    ///   others may write to it.
    public static func makeDirectory(_ path: String) throws(Errno) {
        if unsafe mkdir(path, 0o700) != 0, errno != EEXIST { throw Errno(rawValue: errno) }
        var status = stat()
        try checkedErrno(unsafe lstat(path, &status))
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .notDirectory }
        guard status.st_uid == geteuid(), status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
            throw .notPermitted
        }
    }
}

/// Shared memory that is not mapped yet. It reads as zeroes, and has no pages until they are provisioned or
/// written.
public struct SharedMemory: ~Copyable, Sendable {
    package let descriptor: Descriptor
    /// Where the memory begins in the file, in bytes.
    let offset: Int
    /// The size in bytes.
    public let size: Int

    /// Creates an anonymous object of a size in bytes; the name only shows in /proc. memfd_create(2)
    public init(name: String, size: Int) throws(Errno) {
        let descriptor = Descriptor(adopting: try checked(unsafe clinux_memfd_create(name)))
        try checkedErrno(ftruncate(descriptor.rawValue, off_t(size)))
        self.descriptor = descriptor
        offset = 0
        self.size = size
    }

    /// Takes ownership of a file, and uses a part of it that is whole pages of its file system.
    public init(_ file: consuming MemoryFile, offset: Int, size: Int) {
        descriptor = file.releaseDescriptor()
        self.offset = offset
        self.size = size
    }

    /// A way to use the memory without owning it. It must not outlive this value.
    public var handle: SharedMemoryHandle {
        SharedMemoryHandle(rawValue: descriptor.rawValue, offset: offset)
    }

    /// Bytes that have pages now, including those before the part. fstat(2), `st_blocks`
    public var residentBytes: Int { handle.residentBytes }

    /// Gives the file, which has no name yet, a name. linkat(2)
    ///
    /// - Throws: `fileExists` when there is a file of that name.
    public func link(at path: String) throws(Errno) {
        try checked(unsafe clinux_name(descriptor.rawValue, path))
    }

    /// Removes the name of the file, unless the name is another file's by now. unlink(2)
    public func unlink(at path: String) {
        guard let identity = FileIdentity(descriptor: descriptor.rawValue),
            FileIdentity(path: path) == identity
        else { return }
        unsafe Glibc.unlink(path)
    }

    /// Returns the next run of bytes that have pages, at or after an offset; nil when there is none. lseek(2),
    /// `SEEK_DATA`
    ///
    /// - Throws: `invalidArgument` when the file system does not know its holes.
    public func nextData(from start: Int) throws(Errno) -> Range<Int>? {
        guard let run = try descriptor.nextData(from: offset + start),
            run.lowerBound < offset + size
        else { return nil }
        return max(start, run.lowerBound - offset)..<min(size, run.upperBound - offset)
    }
}

/// A way to use shared memory that another value owns.
public struct SharedMemoryHandle: Sendable, BitwiseCopyable {
    package let rawValue: CInt
    /// Where the memory begins in the file, in bytes.
    let offset: Int

    /// Allocates the pages of a range now. fallocate(2)
    ///
    /// - Throws: `noSpace` or `noMemory` when there are too few. Without this call, the first touch of
    ///   such a page would raise SIGBUS.
    @_semantics("no_performance_analysis")
    public func provision(offset start: Int, count: Int) throws(Errno) {
        try checked(clinux_provision(rawValue, off_t(offset &+ start), off_t(count)))
    }

    /// Copies bytes to an offset, and allocates the pages for them, without a fault for each page. pwrite(2)
    ///
    /// - Throws: `noSpace` or `noMemory` when there are too few pages; some bytes may be there then. `invalidArgument`
    ///   for memory in reserved huge pages, which has no such call.
    package func write(_ bytes: MemoryRegion, at start: Int) throws(Errno) {
        var done = 0
        while done < bytes.count {
            // Sound: the region bounds the bytes that are left.
            let count = unsafe pwrite(
                rawValue, bytes.base + done, bytes.count - done, off_t(offset + start + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw count < 0 ? Errno(rawValue: errno) : .noSpace }
            done += count
        }
    }

    /// Bytes that have pages now. fstat(2), `st_blocks`
    @_semantics("no_performance_analysis")
    public var residentBytes: Int {
        var status = stat()
        return unsafe fstat(rawValue, &status) == 0 ? Int(status.st_blocks) &* 512 : 0
    }

    /// Bytes that the file system has room for; the largest integer where it has no limit. fstatvfs(3), `f_bavail`
    @_semantics("no_performance_analysis")
    package var availableBytes: Int {
        var status = statvfs()
        guard unsafe fstatvfs(rawValue, &status) == 0, status.f_blocks > 0 else { return .max }
        let (bytes, overflows) = UInt64(status.f_bavail)
            .multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return overflows ? .max : Int(clamping: bytes)
    }

    /// Releases the memory of a range of whole pages, which reads as zeroes from then on. fallocate(2),
    /// `FALLOC_FL_PUNCH_HOLE`
    @_semantics("no_performance_analysis")
    public func punchHole(offset start: Int, count: Int) throws(Errno) {
        try checked(clinux_punch(rawValue, off_t(offset &+ start), off_t(count)))
    }
}
