internal import CLinux
internal import LinuxIO
package import SystemPackage

/// A mounted file system that is frozen: everything that was written is on its device, and writers wait.
package struct FileSystemFreeze: Sendable {
    private let point: String

    /// Freezes the file system at a mount point. ioctl(2), `FIFREEZE`
    ///
    /// - Throws: `notSupported` when the file system cannot be frozen, `resourceBusy` when it is frozen already.
    package init(at point: String) throws(Errno) {
        try Self.control(point, freezes: true)
        self.point = point
    }

    /// Thaws it. ioctl(2), `FITHAW`
    package func end() throws(Errno) { try Self.control(point, freezes: false) }

    private static func control(_ point: String, freezes: Bool) throws(Errno) {
        let directory = try Descriptor(opening: point, .readOnly, options: .directory)
        try checked(clinux_freeze(directory.rawValue, freezes ? 1 : 0))
    }
}
