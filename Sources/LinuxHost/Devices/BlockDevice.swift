internal import LinuxIO
internal import CLinux
internal import Glibc
package import SystemPackage

/// A block device that is open. It is closed when the last reference to it goes.
package final class BlockDevice: Sendable {
    private let descriptor: Descriptor

    /// Opens one for reading. While an exclusive one is open, nobody can mount the device, swap to it, or make
    /// it a member of another one. open(2), `O_EXCL`
    ///
    /// - Throws: `resourceBusy` when an exclusive one is wanted and the device is used in such a way.
    package init(path: String, exclusive: Bool) throws(Errno) {
        let flags = O_RDONLY | O_CLOEXEC | (exclusive ? O_EXCL : 0)
        descriptor = Descriptor(adopting: try checkedErrno(unsafe open(path, flags)))
    }

    /// Writes the dirty pages of the device's page cache, and waits for that. Unlike ``flush()`` it does not
    /// reach the device when no page is dirty. sync_file_range(2)
    ///
    /// - Throws: `ioError` when a page could not be written.
    package func writeDirtyPages() throws(Errno) {
        try checked(clinux_write_dirty_pages(descriptor.rawValue))
    }

    /// Writes what the kernel still keeps for the device, and has the device make it durable. fsync(2)
    package func flush() throws(Errno) {
        try checkedErrno(fsync(descriptor.rawValue))
    }

    /// Reads one page at an offset from the device itself, past the page cache. open(2), `O_DIRECT`
    package static func readPage(of path: String, at offset: Int) throws(Errno) {
        let flags = O_RDONLY | O_CLOEXEC | clinux_direct_flag()
        let file = Descriptor(adopting: try checkedErrno(unsafe open(path, flags)))
        let buffer = try MemoryMapping(privateBytes: 4096)
        let count = unsafe pread(file.rawValue, buffer.region.base, 4096, off_t(offset))
        try checkedErrno(CInt(clamping: count))
    }
}
