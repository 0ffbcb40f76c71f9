internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The file of a Unix socket of ours, and the duty to remove it. Its listener does that when it
/// closes; who is in a hurry may do it before.
public final class SocketFile: Sendable {
    private let path: String
    private let identity: FileIdentity
    private let isRemoved = Atomic<Bool>(false)

    /// Milliseconds that another process may take to replace the file.
    private static var patience: Int { 5_000 }

    /// Gives a listening socket's file its path. What is there is replaced if it is a socket on which
    /// nobody listens; otherwise this throws `addressInUse`.
    ///
    /// A socket that has the path listens: between bind(2) and listen(2) it has another name. So one that
    /// refuses a connection is dead, and stays so. Of two processes that find the same dead file, one
    /// replaces it and the other finds a live one: they look and replace while they hold a lock, flock(2)
    /// on the directory, which needs no file of its own. Where there is no file, no lock is needed, since
    /// of several moves to a new name the kernel lets one succeed.
    init(moving draft: borrowing TemporarySocketFile, to path: String) throws(Errno) {
        guard let identity = FileIdentity(path: draft.path) else { throw .noSuchFileOrDirectory }
        self.path = path
        self.identity = identity
        if try Self.move(draft, to: path) { return }
        guard FileIdentity(path: path)?.isSocket != false else { throw .addressInUse }
        let directory = try Descriptor.directory(of: path)
        try directory.lock(milliseconds: Self.patience)
        // Its process may have removed it by now.
        if try Self.move(draft, to: path) { return }
        guard let left = FileIdentity(path: path), left.isSocket, Self.isDead(path),
            FileIdentity(path: path) == left
        else { throw .addressInUse }
        try checkedErrno(unsafe rename(draft.path, path))
    }

    /// Moves a file to a path at which there is none; false when there is one.
    private static func move(
        _ draft: borrowing TemporarySocketFile, to path: String
    ) throws(Errno) -> Bool {
        let result = unsafe clinux_move_to_new(draft.path, path)
        if result == -EEXIST { return false }
        try checked(result)
        return true
    }

    /// Whether nobody listens on a socket file any more. Who listens and has no room for another
    /// connection is alive.
    private static func isDead(_ path: String) -> Bool {
        guard let address = SocketAddress.unix(path: path) else { return false }
        do throws(Errno) {
            let probe = Descriptor(adopting: try checked(clinux_stream_socket(address.family)))
            try checked(clinux_make_listener(probe.rawValue))
            let number = probe.rawValue
            try checkedErrno(unsafe address.withAddress { unsafe connect(number, $0, $1) })
            return false
        } catch {
            return error == .connectionRefused
        }
    }

    /// Removes it, once, and only if it is still ours: somebody may have put another there. unlink(2)
    public func remove() {
        // Once: when it is gone, another file may get its number.
        guard !isRemoved.exchange(true, ordering: .acquiringAndReleasing),
            FileIdentity(path: path) == identity
        else { return }
        unsafe unlink(path)
    }
}

/// A name for a Unix socket's file until it gets its own, in the same directory.
struct TemporarySocketFile: ~Copyable {
    let address: SocketAddress
    var path: String { address.path ?? "" }
    /// Open where the name goes by the descriptor.
    private let directory: Descriptor?

    init(beside path: String) throws(Errno) {
        let mark = String(UInt32.random(in: 0...(.max)), radix: 36)
        if let address = SocketAddress.unix(path: "\(path).\(mark)") {
            self.address = address
            directory = nil
            return
        }
        // Too long: the directory goes by its descriptor.
        let directory = try Descriptor.directory(of: path)
        let short = SocketAddress.unix(
            path: "/proc/self/fd/\(directory.rawValue)/.ramdisk-nbd.\(mark)")
        guard let short else { throw .invalidArgument }
        address = short
        self.directory = consume directory
    }
}

extension Descriptor {
    /// The directory of a file. open(2), `O_DIRECTORY`
    fileprivate static func directory(of path: String) throws(Errno) -> Descriptor {
        let name = FilePath(path).removingLastComponent().string
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        return Descriptor(
            adopting: try checkedErrno(unsafe open(name.isEmpty ? "." : name, flags)))
    }

    /// Waits until no other process has it locked, and locks it until it is closed; throws
    /// `addressInUse` when that takes too long, since whoever may read a directory can lock it. flock(2)
    fileprivate borrowing func lock(milliseconds: Int) throws(Errno) {
        let end = MonotonicTime.now().adding(milliseconds: milliseconds)
        while flock(rawValue, LOCK_EX | LOCK_NB) < 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else { throw Errno(rawValue: errno) }
            guard MonotonicTime.now() < end else { throw .addressInUse }
            Thread.sleep(milliseconds: 10)
        }
    }
}

/// Which file a path led to at some moment.
package struct FileIdentity: Equatable {
    let device: dev_t
    let number: ino_t
    let isSocket: Bool

    /// Nil when there is nothing at the path. lstat(2)
    package init?(path: String) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// The file behind an open descriptor. Nil when there is none. fstat(2)
    package init?(_ file: borrowing Descriptor) {
        var status = stat()
        guard unsafe fstat(file.rawValue, &status) == 0 else { return nil }
        self.init(status)
    }

    init(_ status: stat) {
        device = status.st_dev
        number = status.st_ino
        isSocket = status.st_mode & S_IFMT == S_IFSOCK
    }
}
