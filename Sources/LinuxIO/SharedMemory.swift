// Memory behind a descriptor: it can be given and taken back by the page.

internal import CLinux
internal import Glibc
public import SystemPackage

/// Shared memory that is not mapped yet; reads as zeroes and takes up none until it is provisioned
/// or written.
public struct SharedMemory: ~Copyable, Sendable {
    let descriptor: Descriptor
    /// Bytes in it.
    public let size: Int

    /// Makes an object of so many bytes; the name is only what /proc shows. memfd_create(2)
    public init(name: String, size: Int) throws(Errno) {
        let descriptor = Descriptor(adopting: try checked(unsafe clinux_memfd_create(name)))
        try checkedErrno(ftruncate(descriptor.rawValue, off_t(size)))
        self.descriptor = descriptor
        self.size = size
    }

    /// A way to use the memory without owning it; not to be used after this value is gone.
    public var handle: SharedMemoryHandle { SharedMemoryHandle(number: descriptor.rawValue) }

    /// Bytes that are taken up at this moment. fstat(2), `st_blocks`
    public var residentBytes: Int {
        var status = stat()
        guard unsafe fstat(descriptor.rawValue, &status) == 0 else { return 0 }
        return Int(status.st_blocks) * 512
    }
}

/// Shared memory that somebody else owns.
public struct SharedMemoryHandle: Sendable, BitwiseCopyable {
    let number: CInt

    /// Takes memory for a range now; throws `noSpace` or `noMemory` when there is none, which a
    /// first touch could only answer with a signal. fallocate(2)
    @_semantics("no_performance_analysis")
    public func provision(offset: Int, count: Int) throws(Errno) {
        try checked(clinux_provision(number, off_t(offset), off_t(count)))
    }

    /// Gives the memory of a range of whole pages back; it reads as zeroes from then on.
    /// fallocate(2), `FALLOC_FL_PUNCH_HOLE`
    @_semantics("no_performance_analysis")
    public func punch(offset: Int, count: Int) throws(Errno) {
        try checked(clinux_punch(number, off_t(offset), off_t(count)))
    }
}
