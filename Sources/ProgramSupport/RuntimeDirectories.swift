internal import FoundationEssentials
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// The directories of control sockets and records. Servers create these files, and commands look for them, by the
/// same rules.
package struct RuntimeDirectories: Sendable {
    /// The uid of the processes; 0 is root.
    var user = CurrentProcess.uid
    var environment: [String: String] = ProcessInfo.processInfo.environment
    /// The system's directory for runtime files, and the directory that every user may write to.
    var run = "/run"
    var temporary = "/tmp"

    package init(
        user: UInt32 = CurrentProcess.uid,
        environment: [String: String] = ProcessInfo.processInfo.environment, run: String = "/run",
        temporary: String = "/tmp"
    ) {
        self.user = user
        self.environment = environment
        self.run = run
        self.temporary = temporary
    }

    /// The directory for the processes of this user.
    package var standard: String {
        if user == 0 { return "\(run)/ramdisk-nbd" }
        return session.map { "\($0)/ramdisk-nbd" } ?? "\(temporary)/ramdisk-nbd-\(user)"
    }

    /// The directory of a server's control socket: the one that systemd has created for the unit
    /// (`RuntimeDirectory=`), if there is one. systemd.exec(5)
    package var control: String { unit ?? standard }

    /// The directories that can have control sockets of servers this user may query, its own first. Root may query
    /// all servers.
    package var searched: [String] {
        var directories = [control, standard]
        if user == 0 {
            directories += names(in: run) { $0.hasPrefix("ramdisk-nbd") }
            directories += names(in: "\(run)/user") { _ in true }.map { "\($0)/ramdisk-nbd" }
            directories += names(in: temporary) { name in
                name.hasPrefix("ramdisk-nbd-") && UInt32(name.dropFirst(12)) != nil
            }
        } else {
            // A server may have been started with a different environment, by cron or after su.
            directories.append("\(run)/user/\(user)/ramdisk-nbd")
            directories.append("\(temporary)/ramdisk-nbd-\(user)")
        }
        return directories.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// Creates one of these directories if it does not exist. Throws when it belongs to another user or others may
    /// write to it, as they could plant files there.
    package func make(_ path: String) throws(Failure) {
        do throws(Errno) {
            _ = try Directory.make(path, mode: 0o700)
        } catch {
            throw .cannotCreate("cannot create the directory \(path): \(error)")
        }
        guard isOurs(path) else {
            throw .notPermitted(
                "the directory \(path) is not private: it belongs to another user, or others may write "
                    + "to it; remove it, or set XDG_RUNTIME_DIR")
        }
    }

    /// Returns whether no file in a directory can come from another user. A missing directory has no files.
    package func isSafe(_ path: String) -> Bool { unsafe access(path, F_OK) != 0 || isOurs(path) }

    /// Returns whether a directory belongs to this user and no other user may write to it. It must not be a symbolic
    /// link, which another user could own, except where systemd has created it. lstat(2)
    package func isOurs(_ path: String) -> Bool {
        var status = Glibc.stat()
        let result = unsafe path == unit ? stat(path, &status) : lstat(path, &status)
        return result == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == user
            && status.st_mode & 0o022 == 0
    }

    private var session: String? { directory("XDG_RUNTIME_DIR") }

    /// The first directory that systemd has created for this unit.
    private var unit: String? {
        directory("RUNTIME_DIRECTORY").flatMap { $0.split(separator: ":").first.map(String.init) }
    }

    private func directory(_ variable: String) -> String? {
        environment[variable].flatMap { $0.hasPrefix("/") ? $0 : nil }
    }

    private func names(in parent: String, where isWanted: (String) -> Bool) -> [String] {
        Directory.names(in: parent).filter(isWanted).map { "\(parent)/\($0)" }
    }
}
