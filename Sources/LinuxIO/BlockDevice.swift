// A block device as a file.

internal import Glibc
public import SystemPackage

/// A block device that is open.
public struct BlockDevice: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Opens one. An exclusive one is nobody else's meanwhile: it throws `resourceBusy` when it is
    /// mounted, swapped to, or claimed in another way. open(2), `O_EXCL`
    public init(path: String, exclusive: Bool) throws(Errno) {
        let flags = O_RDONLY | O_CLOEXEC | (exclusive ? O_EXCL : 0)
        descriptor = Descriptor(adopting: try checkedErrno(unsafe open(path, flags)))
    }

    /// Writes what the kernel still keeps for the device, and has it make that durable. fsync(2)
    public func flush() throws(Errno) {
        try checkedErrno(fsync(descriptor.rawValue))
    }
}
