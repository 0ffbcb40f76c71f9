internal import CLinux
internal import Glibc
public import SystemPackage

/// An open file whose bytes are memory, and the duty to close it.
public struct MemoryFile: ~Copyable, Sendable {
    let descriptor: Descriptor
    /// Bytes in a page of its file system: what memory is taken in.
    public let pageSize: Int
    /// Bytes in it.
    public private(set) var size: Int
    private let identity: FileIdentity

    /// Makes an empty file in a directory. It has no name until ``SharedMemory/link(at:)``, and is gone
    /// without a trace if it never gets one. Throws `notSupported` where files are not memory.
    /// `O_TMPFILE`
    public init(unnamedIn directory: String) throws(Errno) {
        let number = try checked(unsafe clinux_open_unnamed(directory))
        try self.init(Descriptor(adopting: number))
    }

    /// Opens a file that somebody has made. Throws `notSupported` where files are not memory, and
    /// `invalidArgument` or `tooManySymbolicLinkLevels` for what is no file. open(2)
    public init(path: String) throws(Errno) {
        let number = try checked(unsafe clinux_open_named(path))
        try self.init(Descriptor(adopting: number))
    }

    private init(_ descriptor: consuming Descriptor) throws(Errno) {
        let number = descriptor.rawValue
        var status = stat()
        try checkedErrno(unsafe fstat(number, &status))
        guard status.st_mode & S_IFMT == S_IFREG else { throw .invalidArgument }
        var page: UInt64 = 0
        guard try checked(unsafe clinux_memory_kind(number, &page)) != 0 else {
            throw .notSupported
        }
        self.descriptor = descriptor
        size = Int(status.st_size)
        pageSize = Int(page)
        identity = FileIdentity(status)
    }

    /// Takes it for this process alone, as long as it is open; throws `wouldBlock` when another
    /// process has it. flock(2)
    public func lock() throws(Errno) {
        try checked(clinux_lock(descriptor.rawValue))
    }

    /// Makes it so many bytes long, which read as zeroes, and takes memory for the first few.
    /// ftruncate(2), fallocate(2)
    public mutating func grow(to size: Int, provisioning count: Int) throws(Errno) {
        try checkedErrno(ftruncate(descriptor.rawValue, off_t(size)))
        try checked(clinux_provision(descriptor.rawValue, 0, off_t(count)))
        self.size = size
    }

    /// Whether a path leads to it: somebody may have removed it or put another in its place.
    public func isAt(_ path: String) -> Bool { FileIdentity(path: path) == identity }

    /// Its first bytes, as many as there are. pread(2)
    public func bytes(count: Int) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let result = unsafe pread(descriptor.rawValue, &bytes, count, 0)
        try checkedErrno(CInt(clamping: result))
        return Array(bytes.prefix(result))
    }

    /// The descriptor, whose owner is another from now on.
    consuming func releaseDescriptor() -> Descriptor { descriptor }

    /// Makes a directory for such files, which nobody else may look into, unless it is there.
    /// Throws `notDirectory` for what is none, `notPermitted` when it is another user's or others may
    /// write to it. mkdir(2)
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
