internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The file of a Unix socket that this process has made, and the duty to remove it. Its listener removes it
/// when it closes; code that cannot wait for that may remove it earlier.
public final class SocketFile: Sendable {
    private let path: String
    private let identity: FileIdentity
    private let isRemoved = Atomic<Bool>(false)

    /// Milliseconds to wait for another process that is replacing the file.
    private static var lockTimeout: Int { 5_000 }

    /// Moves a listening socket's file to its path. Replaces a socket on which no process listens.
    ///
    /// A socket at the path always listens: between bind(2) and listen(2) its file has another name. So a
    /// socket there that refuses a connection is dead, and stays dead. Of two processes that find the same
    /// dead file, one replaces it, and the other then finds a live one: both check and replace it while they
    /// hold flock(2) on the directory, which needs no lock file. A path without a file needs no lock,
    /// because the kernel lets only one of several moves to a new name succeed.
    ///
    /// - Throws: `addressInUse` when the path has a live socket or another file.
    init(moving draft: borrowing TemporarySocketFile, to path: String) throws(Errno) {
        guard let identity = FileIdentity(path: draft.path) else { throw .noSuchFileOrDirectory }
        self.path = path
        self.identity = identity
        if try Self.move(draft, to: path) { return }
        guard FileIdentity(path: path)?.isSocket != false else { throw .addressInUse }
        let directory = try Descriptor.directory(of: path)
        try directory.lock(milliseconds: Self.lockTimeout)
        // The process of the old file may have removed it by now.
        if try Self.move(draft, to: path) { return }
        guard let left = FileIdentity(path: path), left.isSocket, Self.isDead(path),
            FileIdentity(path: path) == left
        else { throw .addressInUse }
        try checkedErrno(unsafe rename(draft.path, path))
    }

    /// Moves a file to a new path; returns false when the path has a file already.
    private static func move(
        _ draft: borrowing TemporarySocketFile, to path: String
    ) throws(Errno) -> Bool {
        let result = unsafe clinux_move_to_new(draft.path, path)
        if result == -EEXIST { return false }
        try checked(result)
        return true
    }

    /// Whether no process listens on a socket file. A listener whose backlog is full is alive.
    private static func isDead(_ path: String) -> Bool {
        guard let address = SocketAddress.unix(path: path) else { return false }
        do throws(Errno) {
            let probe = try Descriptor.streamSocket(address.family)
            let socket = probe.rawValue
            try checked(clinux_set_blocking(socket, 0))
            try checkedErrno(unsafe address.withAddress { unsafe connect(socket, $0, $1) })
            return false
        } catch {
            return error == .connectionRefused
        }
    }

    /// Removes the file, unless another file has its path by now. Further calls do nothing. unlink(2)
    public func remove() {
        // Once only: after the file is gone, another one may get its inode.
        guard !isRemoved.exchange(true, ordering: .acquiringAndReleasing),
            FileIdentity(path: path) == identity
        else { return }
        unsafe unlink(path)
    }
}

/// A temporary name for a Unix socket's file, in the directory of its final path.
struct TemporarySocketFile: ~Copyable {
    let address: SocketAddress
    var path: String { address.path ?? "" }
    /// Open when the name refers to the directory by its descriptor.
    private let directory: Descriptor?

    init(beside path: String) throws(Errno) {
        let mark = String(UInt32.random(in: 0...(.max)), radix: 36)
        if let address = SocketAddress.unix(path: "\(path).\(mark)") {
            self.address = address
            directory = nil
            return
        }
        // The longer path would not fit, so the name refers to the directory by its descriptor.
        let directory = try Descriptor.directory(of: path)
        let short = SocketAddress.unix(
            path: "/proc/self/fd/\(directory.rawValue)/.ramdisk-nbd.\(mark)")
        guard let short else { throw .invalidArgument }
        address = short
        self.directory = consume directory
    }
}

extension Descriptor {
    /// Opens the directory of a file. open(2), `O_DIRECTORY`
    fileprivate static func directory(of path: String) throws(Errno) -> Descriptor {
        let name = FilePath(path).removingLastComponent().string
        return try Descriptor(
            opening: name.isEmpty ? "." : name, .readOnly, options: .directory)
    }

    /// Waits until no other process has locked the file, and locks it until it is closed. flock(2)
    ///
    /// - Throws: `addressInUse` after this time: any process that may read a directory can lock it.
    fileprivate borrowing func lock(milliseconds: Int) throws(Errno) {
        let end = MonotonicTime.now().adding(milliseconds: milliseconds)
        while flock(rawValue, LOCK_EX | LOCK_NB) < 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else { throw Errno(rawValue: errno) }
            guard MonotonicTime.now() < end else { throw .addressInUse }
            Thread.sleep(milliseconds: 10)
        }
    }
}
