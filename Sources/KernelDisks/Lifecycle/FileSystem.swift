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
    package func mount(_ device: String, isNew: Bool) throws(Failure) {
        guard let point = mountPoint else { return }
        var options = mountOptions.map { [$0] } ?? []
        if isReadOnly { options.insert("ro", at: 0) }
        var arguments = options.isEmpty ? [] : ["-o", options.joined(separator: ",")]
        // mount(8) detects a file system that was on the disk before.
        if isNew { arguments += ["-t", kind.rawValue] }
        let result = try SystemProgram.run("mount", arguments + [device, point], package: "mount")
        guard result.ending == .exited(0) else {
            throw .unavailable("cannot mount \(device) at \(point): \(result.reason)")
        }
    }

    /// Restores a mount that ``unmount(_:from:)`` has removed.
    package static func mountAgain(_ mount: Mount) throws(Failure) {
        let result = try SystemProgram.run(
            "mount", ["-o", mount.options, "-t", mount.type, mount.source, mount.point],
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
