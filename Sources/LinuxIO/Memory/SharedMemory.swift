internal import CLinux
internal import Glibc
public import SystemPackage

/// Shared memory that is not mapped yet; reads as zeroes and takes up none until it is provisioned
/// or written.
public struct SharedMemory: ~Copyable, Sendable {
    package let descriptor: Descriptor
    /// Where it begins behind the descriptor, in bytes.
    let offset: Int
    /// Bytes in it.
    public let size: Int

    /// Makes an object of so many bytes; the name is only what /proc shows. memfd_create(2)
    public init(name: String, size: Int) throws(Errno) {
        let descriptor = Descriptor(adopting: try checked(unsafe clinux_memfd_create(name)))
        try checkedErrno(ftruncate(descriptor.rawValue, off_t(size)))
        self.descriptor = descriptor
        offset = 0
        self.size = size
    }

    /// A part of a file, which from now on is owned by this value; whole pages of its file system.
    public init(_ file: consuming MemoryFile, offset: Int, size: Int) {
        descriptor = file.releaseDescriptor()
        self.offset = offset
        self.size = size
    }

    /// A way to use the memory without owning it; not to be used after this value is gone.
    public var handle: SharedMemoryHandle {
        SharedMemoryHandle(rawValue: descriptor.rawValue, start: offset)
    }

    /// Bytes that are taken up at this moment, with what lies before the part. fstat(2), `st_blocks`
    public var residentBytes: Int { handle.residentBytes }

    /// Gives the file it is in its name; throws `fileExists` when there is one of that name. linkat(2)
    public func link(at path: String) throws(Errno) {
        try checked(unsafe clinux_name(descriptor.rawValue, path))
    }

    /// Removes the name of the file it is in, unless it is another file's by now. unlink(2)
    public func unlink(at path: String) {
        var status = stat()
        guard unsafe fstat(descriptor.rawValue, &status) == 0,
            FileIdentity(path: path) == FileIdentity(status)
        else { return }
        unsafe Glibc.unlink(path)
    }

    /// The next run of memory that has been written, at or after an offset; nil when there is none.
    /// Throws when the file system cannot tell. lseek(2), `SEEK_DATA`
    public func nextData(from place: Int) throws(Errno) -> Range<Int>? {
        let number = descriptor.rawValue
        let start = clinux_seek(number, off_t(offset + place), 1)
        if start == off_t(-ENXIO) { return nil }
        guard start >= 0 else { throw Errno(rawValue: CInt(-start)) }
        guard start < offset + size else { return nil }
        let end = clinux_seek(number, start, 0)
        guard end > start else { throw end < 0 ? Errno(rawValue: CInt(-end)) : .invalidArgument }
        return max(place, Int(start) - offset)..<min(size, Int(end) - offset)
    }
}

/// Shared memory that somebody else owns.
public struct SharedMemoryHandle: Sendable, BitwiseCopyable {
    package let rawValue: CInt
    /// Where the memory begins behind the descriptor.
    let start: Int

    /// Takes memory for a range now; throws `noSpace` or `noMemory` when there is none, which a
    /// first touch could only answer with a signal. fallocate(2)
    @_semantics("no_performance_analysis")
    public func provision(offset: Int, count: Int) throws(Errno) {
        try checked(clinux_provision(rawValue, off_t(start &+ offset), off_t(count)))
    }

    /// Bytes that are taken up at this moment. fstat(2), `st_blocks`
    @_semantics("no_performance_analysis")
    public var residentBytes: Int {
        var status = stat()
        return unsafe fstat(rawValue, &status) == 0 ? Int(status.st_blocks) &* 512 : 0
    }

    /// Gives the memory of a range of whole pages back; it reads as zeroes from then on.
    /// fallocate(2), `FALLOC_FL_PUNCH_HOLE`
    @_semantics("no_performance_analysis")
    public func punchHole(offset: Int, count: Int) throws(Errno) {
        try checked(clinux_punch(rawValue, off_t(start &+ offset), off_t(count)))
    }
}
