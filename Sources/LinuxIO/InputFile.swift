// A file that is read from its start to its end.

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
