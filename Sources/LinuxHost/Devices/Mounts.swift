internal import CLinux
internal import Glibc
package import LinuxIO
package import SystemPackage

extension Mount {
    /// Returns where a device is mounted, for display.
    package static func all(of device: String) -> [Mount] {
        all.filter { $0.source == device }
    }

    /// Returns the other mounts that remain when the kernel unmounts the leaders. A mount that propagated from a leader
    /// into another mount namespace, such as that of a systemd service, is unmounted with that leader.
    package static func staying(of others: [Mount], without leaders: [Mount]) -> [Mount] {
        var groups = Set(leaders.compactMap(\.peerGroup))
        let points = Set(leaders.map(\.point))
        var rest = others
        while true {
            let goes = { (mount: Mount) in
                // A bind mount on another directory is in the same group, and stays.
                points.contains(mount.point)
                    && [mount.peerGroup, mount.master].contains { $0.map(groups.contains) ?? false }
            }
            let going = rest.filter(goes)
            guard !going.isEmpty else { return rest }
            rest.removeAll(where: goes)
            // A mount that has received the unmount may pass it on.
            groups.formUnion(going.compactMap(\.peerGroup))
        }
    }

    /// Unmounts the file system, once everything is written. A lazy unmount hides it at once, and completes when
    /// no process uses it any more. umount2(2)
    ///
    /// - Throws: `resourceBusy` when the file system is in use.
    package static func unmount(_ point: String, lazily: Bool = false) throws(Errno) {
        let flags = UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0)
        try checkedErrno(unsafe umount2(point, CInt(flags)))
    }
}

/// The size and the free space of a file system. fstatvfs(3)
package struct FileSystemUse: Sendable, Equatable {
    /// The size of the file system in bytes.
    package let size: UInt64
    /// Bytes in use.
    package let used: UInt64

    /// The use of the file system at a path; nil when the kernel does not report it.
    package init?(path: String) {
        guard let file = try? Descriptor(opening: path, .readOnly) else { return nil }
        var status = statvfs()
        guard unsafe fstatvfs(file.rawValue, &status) == 0 else { return nil }
        let unit = UInt64(status.f_frsize)
        size = UInt64(status.f_blocks) * unit
        used = (UInt64(status.f_blocks) - UInt64(status.f_bfree)) * unit
    }
}
