package import ProgramSupport
internal import LinuxHost
package import LinuxIO
internal import SystemPackage

/// A kind of file system that can be created.
package enum FileSystemKind: String, CaseIterable, Sendable {
    case ext4, xfs, btrfs, vfat, none

    /// The program that creates the file system, the Debian package that has it, and the options that it
    /// always gets.
    package var maker: (program: String, package: String, options: [String]) {
        switch self {
        case .ext4: ("mkfs.ext4", "e2fsprogs", ["-q"])
        case .xfs: ("mkfs.xfs", "xfsprogs", ["-q"])
        case .btrfs: ("mkfs.btrfs", "btrfs-progs", ["-q"])
        case .vfat: ("mkfs.vfat", "dosfstools", [])
        case .none: ("true", "coreutils", [])
        }
    }
}

/// The file system to create on a disk, and where to mount it.
package struct FileSystemConfiguration: Sendable {
    package var kind: FileSystemKind
    /// Additional arguments for the program that creates the file system.
    var makeOptions: [String]
    /// The mount point, an absolute path; nil: not mounted.
    package var mountPoint: String?
    /// The mount options, in the form of mount(8)'s `-o`.
    var mountOptions: String?
    var isReadOnly: Bool

    package init(
        kind: FileSystemKind, makeOptions: [String], mountPoint: String? = nil,
        mountOptions: String? = nil, isReadOnly: Bool
    ) {
        self.kind = kind
        self.makeOptions = makeOptions
        self.mountPoint = mountPoint
        self.mountOptions = mountOptions
        self.isReadOnly = isReadOnly
    }

    /// No file system and no mount point.
    package static var none: FileSystemConfiguration {
        FileSystemConfiguration(
            kind: .none, makeOptions: [], mountPoint: nil, mountOptions: nil, isReadOnly: false)
    }

    /// Creates the file system on a device, which must be blank.
    package func make(on device: String) throws(Failure) {
        guard kind != .none else { return }
        let maker = kind.maker
        let result = try SystemProgram.run(
            maker.program, maker.options + makeOptions + [device], package: maker.package)
        guard result.ending == .exited(0) else {
            throw .unavailable("\(maker.program) failed on \(device): \(result.reason)")
        }
    }

    /// Creates the mount point and the missing directories above it. Returns how many directories it has
    /// created.
    package func makeMountPoint() throws(Failure) -> Int {
        guard let mountPoint else { return 0 }
        do throws(Errno) {
            return try Directory.makeAll(mountPoint)
        } catch {
            throw .cannotCreate("cannot create the mount point \(mountPoint): \(error)")
        }
    }

    /// Mounts the device at the mount point, if there is one.
    ///
    /// - Parameter needsNetwork: whether it is lost without the network. systemd then unmounts it before that goes
    ///   down, as it does with network file systems. systemd.mount(5), `_netdev`
    package func mount(
        _ device: String, isNew: Bool, needsNetwork: Bool = false
    ) throws(Failure) {
        guard let point = mountPoint else { return }
        let result = try SystemProgram.run(
            "mount", mountArguments(device, point, isNew: isNew, needsNetwork: needsNetwork),
            package: "mount")
        guard result.ending == .exited(0) else {
            throw .unavailable("cannot mount \(device) at \(point): \(result.reason)")
        }
    }

    /// Returns the arguments of mount(8).
    func mountArguments(
        _ device: String, _ point: String, isNew: Bool, needsNetwork: Bool
    ) -> [String] {
        let options =
            (isReadOnly ? ["ro"] : []) + (needsNetwork ? [Self.networkOption] : [])
            + [mountOptions].compactMap(\.self)
        // mount(8) detects a file system that was on the disk before.
        return (options.isEmpty ? [] : ["-o", options.joined(separator: ",")])
            + (isNew ? ["-t", kind.rawValue] : []) + [device, point]
    }

    /// mount(8) keeps it in a file of its own, from which systemd reads it; the kernel does not know it.
    private static let networkOption = "_netdev"

    /// Restores a mount that ``unmount(_:from:)`` has removed.
    package static func mountAgain(
        _ mount: Mount, needsNetwork: Bool = false
    ) throws(Failure) {
        let options = mount.options + (needsNetwork ? ",\(networkOption)" : "")
        let result = try SystemProgram.run(
            "mount", ["-o", options, "-t", mount.type, mount.source, mount.point],
            package: "mount")
        guard result.ending == .exited(0) else {
            throw .unavailable(
                "cannot mount \(mount.source) at \(mount.point) again: \(result.reason)")
        }
    }

    /// Unmounts the file system, which writes all its data. Returns the mount that was removed; nil when
    /// nothing was mounted there.
    package static func unmount(_ device: String, from point: String) throws(Failure) -> Mount? {
        var unmounted: Mount?
        while let mount = try mounted(device, at: point) {
            do throws(Errno) {
                try Mount.unmount(point)
                unmounted = mount
            } catch .resourceBusy {
                throw .unavailable(
                    "\(point) is in use, so \(device) stays up: stop the processes that use it "
                        + "(`fuser -vm \(point)` lists them), then try again")
            } catch {
                throw .system("cannot unmount \(point): \(error)")
            }
        }
        return unmounted
    }

    private static func mounted(_ device: String, at point: String) throws(Failure) -> Mount? {
        do throws(Errno) {
            return try Mount.table().first { $0.point == point && $0.source == device }
        } catch {
            throw .system("cannot determine whether \(device) is mounted: \(error)")
        }
    }
}
