package import ProgramSupport
internal import LinuxIO
package import Logging
package import NBDServer
internal import SystemPackage

/// The backing of a disk.
package struct BackingConfiguration: Sendable, Equatable {
    /// The name.
    package var name: String
    /// The directory; nil for the default.
    package var directory: String?
    /// Whether it stays when the server is stopped.
    package var isKept: Bool

    package init(name: String, directory: String? = nil, isKept: Bool) {
        self.name = name
        self.directory = directory
        self.isKept = isKept
    }

    /// Opens the existing disk, or makes one. The size of a new one is `size`, or else `newSize`.
    package func makeDisk(
        size: UInt64?, newSize: UInt64 = DiskConfiguration.standardSize, isSparse: Bool,
        usesReservedPages: Bool, logger: Logger
    ) throws(Failure) -> RamDisk {
        do throws(BackingError) {
            let began = MonotonicTime.now()
            let disk = try RamDisk(
                backing: try location(usesReservedPages), size: size,
                newSize: newSize, isSparse: isSparse)
            let microseconds = (MonotonicTime.now().nanoseconds - began.nanoseconds) / 1_000
            log(disk, milliseconds: Double(microseconds) / 1_000, logger)
            return disk
        } catch {
            throw Failure(error)
        }
    }

    /// The path of the file, without symbolic links; nil when it would be in reserved huge pages and no hugetlbfs is
    /// mounted.
    package func path(_ usesReservedPages: Bool) -> String? {
        guard let location = try? location(usesReservedPages) else { return nil }
        return "\(absolutePath(location.directory))/\(location.name)"
    }

    private func location(_ usesReservedPages: Bool) throws(BackingError) -> BackingLocation {
        if let directory { return BackingLocation(name: name, directory: directory) }
        guard usesReservedPages else {
            return BackingLocation(name: name, directory: Self.standardDirectory)
        }
        guard let mountPoint = ReservedPages.mountPoint else { throw .noReservedPages }
        return BackingLocation(name: name, directory: Self.directory(in: mountPoint))
    }

    /// The default directory of backings, in the system's tmpfs for shared memory.
    static var standardDirectory: String { directory(in: "/dev/shm") }

    /// Each user has a directory of their own, since a user cannot use another's backings.
    private static func directory(in parent: String) -> String {
        let user = CurrentProcess.uid
        return user == 0 ? "\(parent)/ramdisk-nbd" : "\(parent)/ramdisk-nbd-\(user)"
    }

    private func log(_ disk: RamDisk, milliseconds: Double, _ logger: Logger) {
        let message: Logger.Message
        switch disk.inheritance {
        case .none: return
        case .kept: message = "found a kept disk"
        case .orphaned: message = "found the disk of a server that was killed or crashed"
        }
        logger.info(
            message,
            metadata: [
                "backing": "\(name)", "size": "\(disk.size)", "resident": "\(disk.residentBytes)",
                "milliseconds": "\(milliseconds)",
            ])
        guard !disk.checkpointsSurvive else { return }
        logger.notice(
            "an earlier version made the backing, so the checkpoints of its disk end with this server",
            metadata: ["backing": "\(name)"])
    }
}

extension Failure {
    /// The failure for an error of a backing.
    init(_ error: BackingError) {
        var sentence = "\(error)"
        if case .memory(let error) = error { sentence = error.withAdvice }
        self =
            switch error {
            case .badName: .usage(sentence)
            case .notMemory, .notFile, .damaged, .otherVersion, .wrongLength, .otherSize:
                .noInput(sentence)
            case .inUse, .noReservedPages: .unavailable(sentence)
            case .notOurs, .system(_, .permissionDenied), .system(_, .notPermitted):
                .notPermitted(sentence)
            case .memory, .system: .system(sentence)
            }
    }
}
