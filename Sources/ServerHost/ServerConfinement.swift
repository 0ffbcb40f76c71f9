package import Confinement
internal import Glibc
internal import LinuxIO
internal import NBDServer
internal import ProgramSupport
internal import SystemPackage

// The files that servers still need once they are ready. Code that makes a server open or remove another file later
// must add it here.

extension Confinement {
    /// The confinement of a server of these disks: it saves to their images, and removes their backings.
    package init(
        _ mode: SandboxMode, disks: [DiskConfiguration],
        command: @escaping @Sendable () -> Int32? = { nil }
    ) {
        self.init(mode: mode, command: command)
        for disk in disks {
            if let path = disk.image?.path {
                files.append(.replacing(in: directory(of: path)))
                neededFiles += [directory(of: path), path, path + ".state"].map { .written($0) }
            }
            if let path = disk.backingPath { files.append(.removing(in: directory(of: path))) }
        }
    }

    /// Switches a server started by root to another user, if the options ask for that.
    ///
    /// - Throws: a ``Failure`` when that user could not save the disks.
    func changeUser() throws(Failure) {
        guard let user else { return }
        guard CurrentProcess.uid == 0 else {
            throw .notPermitted("--user needs root: only root can switch to another user")
        }
        let unusable: NeededFile?
        do throws(Errno) {
            unusable = try user.unusable(neededFiles)
            // Switch only once this is known to be possible: if the start fails, root must remove the files.
            if unusable == nil { try user.become() }
        } catch {
            throw .system("cannot switch to the user with uid \(user.uid): \(error)")
        }
        if let unusable {
            throw .notPermitted(
                "--user: the user with the uid \(user.uid) may not use \(unusable.path); change its owner or its "
                    + "permissions")
        }
    }

    /// Adds a pid file, which the server removes if it contains its own pid.
    mutating func add(pidFile path: String) {
        files += [.reading(path), .removing(in: directory(of: path))]
    }

    /// Adds the files of Unix sockets, which the server removes.
    mutating func add(_ listeners: [Listener]) {
        let made = listeners.filter { $0.file != nil }
        files += made.compactMap(\.address.path).map { .removing(in: directory(of: $0)) }
    }

    /// Adds the file of keys, which GnuTLS reads for each client. An editor may replace it by a new file of the same
    /// name.
    mutating func add(_ encryption: TLSConfiguration) {
        guard let keys = encryption.keys else { return }
        files.append(.reading(directory(of: keys)))
        // A symbolic link may lead to another directory.
        if let target = unsafe realpath(keys, nil) {
            defer { unsafe free(target) }
            files.append(.reading(directory(of: unsafe String(cString: target))))
        }
        neededFiles.append(.read(keys))
    }

    /// Adds the settings of the machine that the server restores when it stops.
    mutating func add(_ protection: Protection) {
        guard protection == .swap else { return }
        files += [
            .writing(Protection.setting), .reading(Protection.directory),
            .removing(in: Protection.directory),
        ]
    }

    /// Adds the files that a worker needs to thaw the file system on its disk after its supervisor has died: the file
    /// system can be mounted anywhere.
    package mutating func addThawing() {
        thaws = true
        files.append(.listing("/"))
    }

    /// Adds the files that `run` needs: its private directory, which it removes, and the terminal, which tells whether
    /// the command is in the foreground.
    mutating func addCommand(socketPath: String) {
        let parent = directory(of: directory(of: socketPath))
        files += [.removingDirectories(in: parent), .asking(terminal: "/dev/tty")]
    }
}

/// Returns the directory of a file.
private func directory(of path: String) -> String {
    let parent = FilePath(path).removingLastComponent().string
    return parent.isEmpty ? "." : parent
}
