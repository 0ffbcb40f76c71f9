internal import FoundationEssentials
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// The one rule for servers, which put their control sockets and records there, and for the commands that
/// look for them.
package struct RuntimeDirectories: Sendable {
    /// Whose processes they are; 0 is root.
    package var user = CurrentProcess.uid
    package var environment: [String: String] = ProcessInfo.processInfo.environment
    /// The system's directory for such files, and the one that everybody may write to.
    package var run = "/run"
    package var temporary = "/tmp"

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

    /// Where this user's processes leave what others of this user look for.
    package var standard: String {
        if user == 0 { return "\(run)/ramdisk-nbd" }
        return session.map { "\($0)/ramdisk-nbd" } ?? "\(temporary)/ramdisk-nbd-\(user)"
    }

    /// Where a server's control socket is: in the directory that systemd has made for the unit
    /// (`RuntimeDirectory=`), if there is one. systemd.exec(5)
    package var control: String { unit ?? standard }

    /// Where control sockets of servers can be that this user may ask; its own come first. Root may ask all.
    package var searched: [String] {
        var places = [control, standard]
        if user == 0 {
            places += names(in: run) { $0.hasPrefix("ramdisk-nbd") }
            places += names(in: "\(run)/user") { _ in true }.map { "\($0)/ramdisk-nbd" }
            places += names(in: temporary) { name in
                name.hasPrefix("ramdisk-nbd-") && UInt32(name.dropFirst(12)) != nil
            }
        } else {
            // A server may have been started with another environment: by cron, or after su.
            places.append("\(run)/user/\(user)/ramdisk-nbd")
            places.append("\(temporary)/ramdisk-nbd-\(user)")
        }
        return places.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// Makes one of these directories, if it is not there. Throws when it belongs to somebody else, or when
    /// others may write to it: what is read there would be theirs.
    package func make(_ path: String) throws(Failure) {
        do throws(Errno) {
            _ = try Directory.make(path, mode: 0o700)
        } catch {
            throw .cannotCreate("cannot make the directory \(path): \(error)")
        }
        guard isOurs(path) else {
            throw .notPermitted(
                "the directory \(path) is not this user's alone: it belongs to another user, or others "
                    + "may write to it; remove it, or set XDG_RUNTIME_DIR")
        }
    }

    /// Whether nothing in a directory can be somebody else's. One that is not there has nothing in it.
    package func isSafe(_ path: String) -> Bool { unsafe access(path, F_OK) != 0 || isOurs(path) }

    /// Whether a directory belongs to this user, and nobody else may write to it. A link to one could be
    /// somebody else's, except where systemd has made it. lstat(2)
    package func isOurs(_ path: String) -> Bool {
        var status = Glibc.stat()
        let result = unsafe path == unit ? stat(path, &status) : lstat(path, &status)
        return result == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == user
            && status.st_mode & 0o022 == 0
    }

    private var session: String? { directory("XDG_RUNTIME_DIR") }

    /// The first that systemd has made for this unit.
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
