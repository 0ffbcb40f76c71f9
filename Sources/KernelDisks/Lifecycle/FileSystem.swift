package import ProgramSupport
package import LinuxHost
package import LinuxIO
internal import SystemPackage

/// Kinds of file systems that can be made.
package enum FileSystemKind: String, CaseIterable, Sendable {
    case ext4, xfs, btrfs, vfat, none

    /// The program that makes one, and Debian's package that has it.
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

/// Which file system a disk is to have, and where it is to be seen.
package struct FileSystemConfiguration: Sendable {
    package var kind: FileSystemKind
    /// More arguments for the program that makes it.
    package var makeOptions: [String]
    /// Where to mount it; an absolute path.
    package var mountPoint: String?
    /// What to mount it with, as mount(8) takes it after -o.
    package var mountOptions: String?
    package var isReadOnly: Bool

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

    /// None, nowhere.
    package static var none: FileSystemConfiguration {
        FileSystemConfiguration(
            kind: .none, makeOptions: [], mountPoint: nil, mountOptions: nil, isReadOnly: false)
    }

    /// Makes the file system. The device is blank.
    package func make(on device: String) throws(Failure) {
        guard kind != .none else { return }
        let maker = kind.maker
        let result = try Self.run(
            maker.program, maker.options + makeOptions + [device], package: maker.package)
        guard result.ending == .exited(0) else {
            throw .unavailable("\(maker.program) failed on \(device): \(result.reason)")
        }
    }

    /// Makes the mount point, and the directories above it that are missing; returns how many it made.
    package func makeMountPoint() throws(Failure) -> Int {
        guard let mountPoint else { return 0 }
        do throws(Errno) {
            return try Directory.makeAll(mountPoint)
        } catch {
            throw .cannotCreate("cannot make the mount point \(mountPoint): \(error)")
        }
    }

    /// Mounts it at its mount point, if it has one.
    package func mount(_ device: String, isNew: Bool) throws(Failure) {
        guard let point = mountPoint else { return }
        var options = mountOptions.map { [$0] } ?? []
        if isReadOnly { options.insert("ro", at: 0) }
        var arguments = options.isEmpty ? [] : ["-o", options.joined(separator: ",")]
        // What was on the disk before is for mount to find out.
        if isNew { arguments += ["-t", kind.rawValue] }
        let result = try Self.run("mount", arguments + [device, point], package: "mount")
        guard result.ending == .exited(0) else {
            throw .unavailable("cannot mount \(device) at \(point): \(result.reason)")
        }
    }

    /// Mounts again what ``unmount(_:from:)`` has unmounted.
    package static func mountAgain(_ mount: Mount) throws(Failure) {
        let result = try run(
            "mount", ["-o", mount.options, "-t", mount.type, mount.source, mount.point],
            package: "mount")
        guard result.ending == .exited(0) else {
            throw .unavailable(
                "cannot mount \(mount.source) at \(mount.point) again: \(result.reason)")
        }
    }

    private static func run(
        _ program: String, _ arguments: [String], package: String
    ) throws(Failure) -> ChildProcess.Result {
        // Debian keeps them where not every user looks.
        for place in ["", "/usr/sbin/", "/sbin/"] {
            do throws(Errno) {
                return try ChildProcess.run(place + program, arguments)
            } catch {
                if error != .noSuchFileOrDirectory {
                    throw .system("cannot run \(program): \(error)")
                }
            }
        }
        throw .unavailable("\(program) is not there: install Debian's package \(package)")
    }

    /// Takes the file system off its mount point, and writes all of it. Returns what was mounted there; nil when
    /// nothing was.
    package static func unmount(_ device: String, from point: String) throws(Failure) -> Mount? {
        var unmounted: Mount?
        while let mount = try mounted(device, at: point) {
            do throws(Errno) {
                try Mount.unmount(point)
                unmounted = mount
            } catch .resourceBusy {
                throw .unavailable(
                    "\(point) is in use, so \(device) stays up: end what uses it "
                        + "(`fuser -vm \(point)` shows it), then try again")
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
            throw .system("cannot find out whether \(device) is mounted: \(error)")
        }
    }
}

extension ChildProcess.Result {
    /// Why it failed, on one line: the first thing that it said. Usage and hints follow.
    package var reason: String {
        output.split(separator: "\n").first.map(String.init) ?? "\(ending)"
    }
}
