internal import CLinux
internal import LinuxIO
package import SystemPackage

/// A mounted file system that is frozen: everything that was written is on its device, and writers wait.
package final class FileSystemFreeze: Sendable {
    // Stays open: nothing can unmount the file system while it is frozen, when no path would lead to it any more.
    private let directory: Descriptor

    /// Freezes the file system at a mount point. ioctl(2), `FIFREEZE`
    ///
    /// - Throws: `notSupported` when the file system cannot be frozen, `resourceBusy` when it is frozen already.
    package init(at point: String) throws(Errno) {
        let directory = try Descriptor(opening: point, .readOnly, options: .directory)
        try checked(clinux_freeze(directory.rawValue, 1))
        self.directory = directory
    }

    /// Thaws it. ioctl(2), `FITHAW`
    package func end() throws(Errno) { try checked(clinux_freeze(directory.rawValue, 0)) }

    /// Thaws the file system at a mount point, also if another process has frozen it.
    ///
    /// - Throws: `invalidArgument` when it is not frozen.
    package static func thaw(at point: String) throws(Errno) {
        let directory = try Descriptor(opening: point, .readOnly, options: .directory)
        try checked(clinux_freeze(directory.rawValue, 0))
    }
}
