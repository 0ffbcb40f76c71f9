internal import CLinux
internal import Glibc
internal import LinuxIO
internal import Synchronization
package import SystemPackage

/// The user that a server started by root switches to once it has its sockets and its memory.
package struct ServerUser: Sendable, Equatable {
    package let uid: UInt32
    package let gid: UInt32

    package init(uid: UInt32, gid: UInt32) {
        self.uid = uid
        self.gid = gid
    }

    /// Returns the first file that this user may not use as the server needs it; nil when there is none. Files that do
    /// not exist count as usable. access(2)
    package func unusable(_ files: [NeededFile]) throws(Errno) -> NeededFile? {
        let found = FoundFile()
        // A separate thread switches to that user, tries the files, and ends.
        try Thread(name: "user") {
            let result = clinux_become_in_thread(uid, gid)
            found.set(result < 0 ? files.first : files.first { !$0.isUsable })
        }.join()
        return found.file
    }

    private final class FoundFile: Sendable {
        private let value = Mutex<NeededFile?>(nil)
        var file: NeededFile? { value.withLock { $0 } }
        func set(_ file: NeededFile?) { value.withLock { $0 = file } }
    }

    /// Switches every thread of this process to this user, with the user's groups and without any capability. It cannot
    /// be undone. setgroups(2), setresgid(2), setresuid(2)
    package func become() throws(Errno) {
        try checked(clinux_become(uid, gid))
    }
}

/// The protection of this process's memory from other processes of the same user.
package enum ProcessSecrecy {
    /// Keeps this process's memory out of core dumps, and denies other processes except those of root access to it.
    /// prctl(2), `PR_SET_DUMPABLE`
    package static func begin() { clinux_hide_process() }
}

/// A file or a directory that a server needs after it has given up root.
package struct NeededFile: Sendable, Equatable {
    package let path: String
    /// Whether the server writes it.
    let isWritten: Bool

    /// A file that is read.
    package static func read(_ path: String) -> NeededFile {
        NeededFile(path: path, isWritten: false)
    }

    /// A file, or a directory, that is read and written.
    package static func written(_ path: String) -> NeededFile {
        NeededFile(path: path, isWritten: true)
    }

    /// Whether the calling thread may use it.
    fileprivate var isUsable: Bool {
        unsafe access(path, isWritten ? R_OK | W_OK : R_OK) == 0 || errno == ENOENT
    }
}
