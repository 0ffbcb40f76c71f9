// Listeners: their files' owners and modes, and those that somebody else made.

import Glibc
import SystemPackage
import Testing

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

    @Test("a Unix socket's file belongs to whom it was given", .enabled(if: geteuid() == 0))
    func owner() throws {
        let address = try #require(SocketAddress.unix(path: path))
        let listener = try Listener(unix: address, access: .init(user: 65_534, group: 12_345))
        var status = stat()
        unsafe lstat(path, &status)
        #expect(status.st_uid == 65_534)
        #expect(status.st_gid == 12_345)
        extendLifetime(listener)
    }

    @Test("a socket that listens already is taken over, and its file stays")
    func inherited() throws {
        let number = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        let address = try #require(SocketAddress.unix(path: path))
        #expect(unsafe address.withAddress { unsafe bind(number, $0, $1) } == 0)
        #expect(listen(number, 1) == 0)
        do {
            let listener = try Listener(listening: Descriptor(adopting: number))
            #expect(listener.address.path == path)
            let client = try StreamSocket.connect(to: address)
            _ = try listener.acceptWhenThere()
            #expect(throws: Errno.wouldBlock) { _ = try listener.accept() }
            extendLifetime(client)
        }
        #expect(FileIdentity(path: path)?.isSocket == true)
        unsafe unlink(path)
    }

    @Test("what does not listen is not taken for a listener")
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

    @Test("users and groups are found by name and by number")
    func accounts() {
        #expect(Account.user("root") == Account.User(number: 0, group: 0))
        #expect(Account.user("0") == Account.User(number: 0, group: 0))
        #expect(Account.user("4000000000") == Account.User(number: 4_000_000_000, group: nil))
        #expect(Account.group("root") == 0)
        #expect(Account.group("4000000000") == 4_000_000_000)
        for text in ["", "nobody-of-this-name", "-1", "4294967295", "99999999999"] {
            #expect(Account.user(text) == nil)
            #expect(Account.group(text) == nil)
        }
    }
}
