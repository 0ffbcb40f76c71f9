internal import CLinux
internal import Glibc
package import SystemPackage

/// A lock file with the pid of the process that has locked it. The kernel drops the lock when the process ends, however
/// it ends; this value removes the file when it is gone. flock(2)
package struct LockFile: ~Copyable, Sendable {
    private let descriptor: Descriptor
    private let path: String

    /// The reason why a file could not be locked.
    package enum Failure: Error, Equatable {
        /// Another process has locked it, or another value in this one. Its pid, if the file contains it.
        case held(pid: Int32?)
        case system(Errno)
    }

    /// Locks the file at a path, and creates it when there is none.
    package init(_ path: String) throws(Failure) {
        // The process that held the lock may have removed the file after it was opened here: then the lock is
        // on a file that no other process finds.
        while true {
            let file = try Self.open(path)
            guard FileIdentity(path: path) == FileIdentity(descriptor: file.rawValue) else {
                continue
            }
            descriptor = file
            break
        }
        self.path = path
        do throws(Errno) {
            try checkedErrno(ftruncate(descriptor.rawValue, 0))
            try TextFile.write("\(CurrentProcess.pid)\n", to: descriptor)
        } catch {
            // Only the pid in another process's error is missing then.
        }
    }

    private static func open(_ path: String) throws(Failure) -> Descriptor {
        let file: Descriptor
        do throws(Errno) {
            file = try Descriptor(
                opening: path, .readWrite, options: [.create, .noFollow, .nonBlocking],
                permissions: .ownerReadWrite)
        } catch {
            throw .system(error)
        }
        while flock(file.rawValue, LOCK_EX | LOCK_NB) < 0 {
            let error = Errno(rawValue: errno)
            if error == .wouldBlock {
                let line = file.text(limit: 16).split(separator: "\n").first
                throw .held(pid: line.flatMap { Int32($0) })
            }
            guard error == .interrupted else { throw .system(error) }
        }
        return file
    }

    deinit {
        // Remove the file while the lock is still held. Afterwards another process could have locked it.
        unsafe unlink(path)
    }
}
