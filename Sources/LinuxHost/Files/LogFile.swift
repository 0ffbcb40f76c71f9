internal import LinuxIO
internal import Glibc
package import SystemPackage

/// A file for what a process has to say, made when it is not there; only its owner can read it.
package struct LogFile: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Opens it. open(2), `O_APPEND`
    package init(_ path: String) throws(Errno) {
        let flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW
        descriptor = Descriptor(adopting: try checkedErrno(unsafe open(path, flags, 0o600)))
    }

    /// What has been written to it, at most so many bytes; also when its name is gone. pread(2)
    package func text(limit: Int) -> String {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = unsafe pread(descriptor.rawValue, &bytes, limit, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    /// A way to give it to a child, as long as this value lives.
    package var handle: LogFileHandle { LogFileHandle(rawValue: descriptor.rawValue) }
}

/// A log file that somebody else owns.
package struct LogFileHandle: Sendable, BitwiseCopyable {
    let rawValue: CInt
}
