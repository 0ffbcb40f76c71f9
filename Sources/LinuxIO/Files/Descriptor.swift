internal import CLinux
internal import Glibc
package import SystemPackage

/// A file descriptor and the duty to close it.
public struct Descriptor: ~Copyable, Sendable {
    /// The descriptor as the kernel has it; valid as long as this value lives.
    package let rawValue: CInt

    /// Takes ownership of an open descriptor.
    public init(adopting rawValue: CInt) {
        self.rawValue = rawValue
    }

    /// Opens a file; the descriptor is closed on exec. open(2)
    package init(
        opening path: String, _ mode: FileDescriptor.AccessMode,
        options: FileDescriptor.OpenOptions = [], permissions: FilePermissions? = nil
    ) throws(Errno) {
        let file = try withErrno {
            try FileDescriptor.open(
                FilePath(path), mode, options: options.union(.closeOnExec),
                permissions: permissions)
        }
        self.init(adopting: file.rawValue)
    }

    /// Raises this process's limit of open descriptors as far as it may: the usual limit of 1024 is
    /// there for programs that use select(2). setrlimit(2), `RLIMIT_NOFILE`
    public static func raiseLimit() {
        // If the limit stays, the call that reaches it reports that.
        _ = clinux_raise_descriptor_limit()
    }

    /// Reads up to `limit` bytes from the start of the file, as UTF-8; fewer when it is shorter, and
    /// none when it cannot be read. pread(2)
    package borrowing func text(limit: Int) -> String {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = unsafe pread(rawValue, &bytes, limit, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    /// Transfers the duty to close the descriptor to the caller.
    consuming func release() -> CInt {
        let released = rawValue
        discard self
        return released
    }

    deinit {
        // close(2): no error needs handling here, and Linux frees the descriptor even when there is one.
        _ = close(rawValue)
    }
}

/// Ends the life of a resource, which closes it.
package func dispose<Resource: ~Copyable>(of resource: consuming Resource) {}

/// Writes all bytes, in as many calls as the kernel needs. write(2)
///
/// - Throws: the error of the first call that fails, such as `noSpace` or `brokenPipe`. The bytes before it
///   have been written.
package func writeAll(_ bytes: [UInt8], to descriptor: CInt) throws(Errno) {
    _ = try withErrno { try FileDescriptor(rawValue: descriptor).writeAll(bytes) }
}

/// Writes all bytes of a region. write(2)
package func writeAll(_ region: MemoryRegion, to descriptor: CInt) throws(Errno) {
    _ = try withErrno {
        // Sound: the region is readable memory of this size.
        try unsafe FileDescriptor(rawValue: descriptor).writeAll(
            UnsafeRawBufferPointer(start: region.base, count: region.count))
    }
}

/// Writes all of a text. write(2)
package func writeAll(_ text: String, to descriptor: CInt) throws(Errno) {
    try writeAll(Array(text.utf8), to: descriptor)
}

// MARK: - Errors
//
// Three conventions meet here. The shims of CLinux return a negated error, calls of the C library return -1
// and set `errno`, and swift-system throws an untyped error that is always an `Errno`. All of them leave this
// module as a thrown `Errno`.

/// Returns the result of a shim of CLinux, or throws the error that it stands for.
@discardableResult
package func checked(_ result: CInt) throws(Errno) -> CInt {
    guard result >= 0 else { throw Errno(rawValue: -result) }
    return result
}

/// Returns the result of a call of the C library, or throws `errno` when it is negative.
@discardableResult
package func checkedErrno(_ result: CInt) throws(Errno) -> CInt {
    guard result >= 0 else { throw Errno(rawValue: errno) }
    return result
}

/// Calls swift-system with typed throws.
package func withErrno<Result>(_ body: () throws -> Result) throws(Errno) -> Result {
    do {
        return try body()
    } catch let error as Errno {
        throw error
    } catch {
        preconditionFailure("swift-system threw \(error)")
    }
}
