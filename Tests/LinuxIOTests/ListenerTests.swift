import Foundation
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import LinuxHost
@testable import LinuxIO

@Suite("Listeners")
struct ListenerTests {
    private let path = "/tmp/ramdisk-nbd-listener-\(UInt64.random(in: 0...(.max))).sock"

    @Test(
        "a Unix socket's file has just the mode that was asked for, whatever the umask",
        arguments: [0o600, 0o660, 0o666, 0o777, 0] as [UInt32])
    func mode(mode: UInt32) throws {
        let address = try #require(SocketAddress.unix(path: path))
        let listener = try Listener(unix: address, access: .init(mode: mode))
        var status = stat()
        unsafe lstat(path, &status)
        #expect(status.st_mode & 0o7777 == mode)
        extendLifetime(listener)
    }

    @Test(
        "a Unix socket's file has the owner and the group that were asked for",
        .enabled(if: geteuid() == 0))
    func owner() throws {
        let address = try #require(SocketAddress.unix(path: path))
        let listener = try Listener(unix: address, access: .init(uid: 65_534, gid: 12_345))
        var status = stat()
        unsafe lstat(path, &status)
        #expect(status.st_uid == 65_534)
        #expect(status.st_gid == 12_345)
        extendLifetime(listener)
    }

    @Test("of many that find a dead socket file one gets it, and its file is the only one left")
    func race() throws {
        let directory = "/tmp/ramdisk-nbd-race-\(UInt64.random(in: 0...(.max)))"
        try #require(unsafe mkdir(directory, 0o700) == 0)
        defer { unsafe rmdir(directory) }
        let path = "\(directory)/socket"
        let address = try #require(SocketAddress.unix(path: path))
        for _ in 0..<50 {
            // Bound and closed: no process listens.
            let dead = Descriptor(adopting: socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0))
            let descriptor = dead.rawValue
            #expect(unsafe address.withAddress { unsafe bind(descriptor, $0, $1) } == 0)
            let winners = Mutex<[Listener]>([])
            let errors = Mutex<[Errno]>([])
            let threads = try (0..<4).map { _ in
                try LinuxIO.Thread(name: "starter") {
                    do throws(Errno) {
                        let listener = try Listener(unix: address)
                        winners.withLock { $0.append(listener) }
                    } catch {
                        errors.withLock { $0.append(error) }
                    }
                }
            }
            for thread in threads { thread.join() }
            #expect(winners.withLock { $0.count } == 1)
            #expect(errors.withLock { $0 } == [.addressInUse, .addressInUse, .addressInUse])
            _ = try StreamSocket.connect(to: address)
            #expect(try files(in: directory) == ["socket"])
            winners.withLock { $0 = [] }
            #expect(try files(in: directory) == [])
            extendLifetime(dead)
        }
    }

    @Test(
        "a client of a Unix socket that accepts no more connections waits for its timeout, and no longer"
    )
    func full() throws {
        let address = try #require(SocketAddress.unix(path: path))
        defer { unsafe unlink(path) }
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        #expect(unsafe address.withAddress { unsafe bind(descriptor, $0, $1) } == 0)
        #expect(listen(descriptor, 0) == 0)
        let first = try StreamSocket.connect(to: address, milliseconds: 50)
        #expect(throws: Errno.timedOut) {
            _ = try StreamSocket.connect(to: address, milliseconds: 50)
        }
        extendLifetime(first)
    }

    @Test("a socket that cannot have its path leaves no file behind, and the existing file stays")
    func refused() throws {
        let directory = "/tmp/ramdisk-nbd-taken-\(UInt64.random(in: 0...(.max)))"
        let path = "\(directory)/socket"
        try #require(unsafe mkdir(directory, 0o700) == 0)
        defer {
            unsafe unlink(path)
            unsafe rmdir(directory)
        }
        let file = try FileDescriptor.open(
            FilePath(path), .writeOnly, options: .create, permissions: .ownerReadWrite)
        try file.close()
        let address = try #require(SocketAddress.unix(path: path))
        #expect(throws: Errno.addressInUse) { try Listener(unix: address) }
        #expect(FileIdentity(path: path)?.isSocket == false)
        #expect(try files(in: directory) == ["socket"])
    }

    @Test(
        "a listener whose backlog is full is alive", .timeLimit(.minutes(1)))
    func fullBacklog() throws {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        let full = Descriptor(adopting: descriptor)
        defer { unsafe unlink(path) }
        let address = try #require(SocketAddress.unix(path: path))
        #expect(unsafe address.withAddress { unsafe bind(descriptor, $0, $1) } == 0)
        #expect(listen(descriptor, 0) == 0)
        let client = try StreamSocket.connect(to: address)
        #expect(throws: Errno.addressInUse) { try Listener(unix: address) }
        extendLifetime(client)
        extendLifetime(full)
    }

    @Test("a path of the greatest length, and one without a directory, will do")
    func paths() throws {
        let directory = "/tmp/ramdisk-nbd-long-\(UInt64.random(in: 0...(.max)))"
        try #require(unsafe mkdir(directory, 0o700) == 0)
        defer { unsafe rmdir(directory) }
        let path = (directory + "/").padding(to: SocketAddress.longestPath)
        let address = try #require(SocketAddress.unix(path: path))
        let listener = try Listener(unix: address)
        _ = try StreamSocket.connect(to: address)
        #expect(try files(in: directory).count == 1)
        extendLifetime(listener)
        let name = "ramdisk-nbd-\(UInt64.random(in: 0...(.max)))"
        let plain = try Listener(unix: #require(SocketAddress.unix(path: name)))
        #expect(FileIdentity(path: name)?.isSocket == true)
        extendLifetime(plain)
    }

    private func files(in directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory)
    }

    @Test("a socket that listens already becomes a listener, and its file stays")
    func inherited() throws {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        let address = try #require(SocketAddress.unix(path: path))
        #expect(unsafe address.withAddress { unsafe bind(descriptor, $0, $1) } == 0)
        #expect(listen(descriptor, 1) == 0)
        do {
            let listener = try Listener(listening: Descriptor(adopting: descriptor))
            #expect(listener.address.path == path)
            let client = try StreamSocket.connect(to: address)
            _ = try listener.acceptWhenThere()
            #expect(throws: Errno.wouldBlock) { _ = try listener.accept() }
            extendLifetime(client)
        }
        #expect(FileIdentity(path: path)?.isSocket == true)
        unsafe unlink(path)
    }

    @Test("a descriptor that does not listen does not become a listener")
    func notListening() throws {
        #expect(throws: Errno.invalidArgument) {
            try Listener(
                listening: Descriptor(adopting: socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)))
        }
        #expect(throws: Errno.invalidArgument) {
            try Listener(
                listening: Descriptor(adopting: socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)))
        }
        #expect(throws: Errno.invalidArgument) {
            try Listener(listening: Descriptor(adopting: unsafe open("/dev/null", O_RDONLY)))
        }
    }

    @Test("users and groups are found by name and by id")
    func accounts() {
        #expect(Account.user("root") == Account.User(uid: 0, gid: 0))
        #expect(Account.user("0") == Account.User(uid: 0, gid: 0))
        #expect(Account.user("4000000000") == Account.User(uid: 4_000_000_000, gid: nil))
        #expect(Account.gid("root") == 0)
        #expect(Account.gid("4000000000") == 4_000_000_000)
        for text in ["", "nobody-of-this-name", "-1", "4294967295", "99999999999"] {
            #expect(Account.user(text) == nil)
            #expect(Account.gid(text) == nil)
        }
    }
}

extension String {
    /// Returns the text, padded with x to this many bytes.
    fileprivate func padding(to count: Int) -> String {
        self + String(repeating: "x", count: count - utf8.count)
    }
}
