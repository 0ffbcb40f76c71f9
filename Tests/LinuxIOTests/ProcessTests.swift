import Glibc
import SystemPackage
import Testing

@testable import LinuxHost
@testable import LinuxIO

@Suite("Processes", .timeLimit(.minutes(1)))
struct ProcessTests {
    @Test("running a program returns its output and how it ended")
    func run() throws {
        let good = try ChildProcess.run("sh", ["-c", "echo one; echo two >&2; exit 3"])
        #expect(good.ending == .exited(3))
        #expect(good.output == "one\ntwo\n")
        #expect(try ChildProcess.run("sh", ["-c", "kill -9 $$"]).ending == .killed(SIGKILL))
        #expect(throws: Errno.noSuchFileOrDirectory) {
            try ChildProcess.run("no-such-program", [])
        }
    }

    @Test("a child that no thread could wait for is killed and leaves no zombie")
    func noDescriptor() throws {
        let child = try ChildProcess("sleep", ["1000"], streams: [.null, .null, .null])
        #expect(throws: Errno.tooManyOpenFiles) {
            _ = try ChildProcess.exitDescriptor(of: child.pid) { _ in -EMFILE }
        }
        // Not even as a zombie.
        #expect(kill(child.pid, 0) == -1)
        #expect(errno == ESRCH)
    }

    @Test(
        "a foreground command has the environment with additions, and gets no signal after its end")
    func foreground() throws {
        unsafe setenv("RAMDISK_NBD_TEST", "old", 1)
        defer { unsafe unsetenv("RAMDISK_NBD_TEST") }
        let script =
            #"[ "$RAMDISK_NBD_TEST" = new ] && [ "$OTHER" = "a b" ] && [ -n "$PATH" ]"#
        let command = try ChildProcess(
            command: ["sh", "-c", script],
            environment: [("RAMDISK_NBD_TEST", "new"), ("OTHER", "a b")])
        #expect(try command.wait() == .exited(0))
        command.signal(SIGKILL)
        let sleeper = try ChildProcess(command: ["sleep", "60"], environment: [])
        sleeper.signal(SIGTERM)
        #expect(try sleeper.wait() == .killed(SIGTERM))
        #expect(throws: Errno.noSuchFileOrDirectory) {
            _ = try ChildProcess(command: ["no-such-program"], environment: [])
        }
    }

    @Test("a child has the descriptors that it was given, and no others")
    func descriptors() throws {
        let pair = try DescriptorChannel.pair()
        let other = try SharedMemory(name: "other", size: 4096)
        let script =
            "echo hello >&3; for d in 4 5 6 7 8 9; do [ -e /proc/$$/fd/$d ] && exit 1; done; exit 0"
        let child = try ChildProcess(
            "sh", ["-c", script], streams: [.null, .null, .null, .socket(pair.second.handle)])
        #expect(try child.wait() == .exited(0))
        #expect(try text(pair.first) == "hello\n")
        #expect(other.size == 4096)
    }

    @Test("a poll waits for the end of a child and for other sources")
    func waiting() throws {
        let child = try ChildProcess("sleep", ["60"], streams: [.null, .null, .null])
        let event = try EventFD()
        let items = [PollSource.exit(child), .event(event)]
        #expect(try PollSource.poll(items, milliseconds: 0) == [false, false])
        event.signal()
        #expect(try PollSource.poll(items, milliseconds: 5000) == [false, true])
        event.clear()
        child.signal(SIGKILL)
        #expect(try PollSource.poll(items, milliseconds: 5000) == [true, false])
        #expect(try child.wait() == .killed(SIGKILL))
    }

    @Test("a poll for a hang-up ignores input")
    func hangUp() throws {
        let pair = try StreamSocket.pair()
        let items = [PollSource.hangUp(pair.first.handle)]
        let bytes = try MemoryMapping(privateBytes: 16)
        _ = pair.second.handle.send(bytes.region)
        #expect(try PollSource.poll(items, milliseconds: 0) == [false])
        pair.second.handle.shutdownBoth()
        #expect(try PollSource.poll(items, milliseconds: 5000) == [true])
    }

    @Test("a process is identified by its pid and its start")
    func identity() throws {
        #expect(ProcessIdentity.current.isRunning)
        let child = try ChildProcess("sleep", ["60"], streams: [.null, .null, .null])
        let identity = try #require(ProcessIdentity(running: child.pid))
        #expect(identity.isRunning)
        #expect(!ProcessIdentity(pid: identity.pid, start: identity.start + 1).isRunning)
        let watch = ProcessWatch(identity)
        child.signal(SIGKILL)
        _ = try child.wait()
        #expect(!identity.isRunning)
        guard let watch else { throw Errno.noSuchProcess }
        #expect(try watch.wait(milliseconds: 1000))
        let none = ProcessWatch(identity) == nil
        #expect(none)
    }

    @Test("the start of a process is found whatever its name contains")
    func parsing() {
        let rest = (3...22).map { $0 == 3 ? "S" : String($0) }.joined(separator: " ")
        let parsed = ProcessIdentity.parse("7 (a ) (b) \(rest) 23\n")
        #expect(parsed?.state == "S")
        #expect(parsed?.start == 22)
        #expect(ProcessIdentity.parse("7 (a) S 1 2") == nil)
        #expect(ProcessIdentity.parse("") == nil)
    }

    @Test("a message carries a socket to the other end")
    func handOver() throws {
        let control = try DescriptorChannel.pair()
        let pair = try StreamSocket.pair()
        try control.first.send([1, 2], socket: pair.second.handle)
        try control.first.send([3])
        guard let message = try control.second.receive(), let socket = message.socket else {
            Issue.record("no socket came")
            return
        }
        #expect(message.bytes == [1, 2])
        let sent = try MemoryMapping(privateBytes: 3)
        sent.region.copy(from: [7, 8, 9])
        _ = socket.handle.send(sent.region)
        let received = try MemoryMapping(privateBytes: 3)
        #expect(pair.first.handle.receive(into: received.region, blocking: true) == .bytes(3))
        #expect(received.region.bytes == [7, 8, 9])
        #expect(try text(control.second) == "\u{3}")
    }

    /// Returns the next message as text.
    private func text(_ socket: borrowing DescriptorChannel) throws -> String {
        guard let message = try socket.receive() else { return "" }
        return String(decoding: message.bytes, as: UTF8.self)
    }
}

@Suite("Reading what may be missing")
struct UnreadableTests {
    @Test("a process counts as running unless the kernel reports that it has ended")
    func running() throws {
        #expect(ProcessIdentity.current.isRunning)
        #expect(!ProcessIdentity(pid: getpid(), start: 1).isRunning)
        #expect(!ProcessIdentity(pid: .max, start: 1).isRunning)
    }

    @Test("a text longer than a page is read whole, and a missing file has its reason")
    func contents() throws {
        let text = String(repeating: "0123456789", count: 2_000)
        let path = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        defer { Directory.removeFile(path) }
        try TextFile.replace(path, with: text)
        #expect(try TextFile.contents(of: path) == text)
        #expect(throws: Errno.notDirectory) { try TextFile.contents(of: path + "/x") }
    }
}

@Suite("The watermark boost")
struct WatermarkBoostTests {
    @Test("the last of several processes restores the value that the first one found")
    func counted() throws {
        let directory = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        _ = try Directory.make(directory)
        let setting = directory + "/setting"
        let shared = directory + "/shared"
        defer {
            Directory.removeFile(setting)
            Directory.removeFile(shared)
            Directory.removeEmpty(directory)
        }
        try TextFile.replace(setting, with: "15000\n")
        func value() -> String? {
            TextFile.read(setting)?.split(separator: "\n").first.map(String.init)
        }
        let first = try WatermarkBoost(sharedFile: shared, setting: setting)
        #expect(value()?.hasPrefix("0") == true)
        // Unlike the kernel's setting, a file keeps the bytes after those that are written.
        try TextFile.replace(setting, with: "0\n")
        let second = try WatermarkBoost(sharedFile: shared, setting: setting)
        first.end()
        #expect(value() == "0")
        second.end()
        #expect(value() == "15000")
        #expect(TextFile.read(shared) == nil)
        // The next process starts with the current value.
        try TextFile.replace(setting, with: "0\n")
        let third = try WatermarkBoost(sharedFile: shared, setting: setting)
        third.end()
        #expect(value() == "0")
    }
}

@Suite("Mounts and small files")
struct MountTests {
    @Test("the kernel's table of mounts is read, with its escapes and its tags")
    func table() {
        let text = """
            36 35 98:0 / /mnt/a\\040b rw,noatime master:1 shared:2 - ext4 /dev/nbd0 rw
            37 35 0:44 / /run rw - tmpfs tmpfs rw
            no line of the kernel's
            """
        let expected = [
            Mount(
                point: "/mnt/a b", type: "ext4", source: "/dev/nbd0", options: "rw,noatime,rw",
                peerGroup: 2, master: 1),
            Mount(point: "/run", type: "tmpfs", source: "tmpfs", options: "rw,rw"),
        ]
        #expect(Mount.parse(text) == expected)
        #expect(Mount.all.contains { $0.point == "/proc" })
        #expect(FileSystemUse(path: "/")?.size ?? 0 > 0)
    }

    @Test("a propagated mount is unmounted with its origin; a private copy stays")
    func staying() {
        // One mount; udev's namespace receives it, and a container receives it from there; another has a
        // copy of its own, and a folder of it is bound elsewhere.
        let own = Mount.parse("36 35 43:0 / /mnt/r rw shared:9 - ext4 /dev/nbd0 rw\n")
        let received = Mount.parse(
            """
            90 80 43:0 / /mnt/r rw shared:12 master:9 - ext4 /dev/nbd0 rw
            91 81 43:0 / /mnt/r rw master:12 - ext4 /dev/nbd0 rw
            """)
        let kept = Mount.parse(
            """
            92 82 43:0 / /mnt/r ro - ext4 /dev/nbd0 rw
            93 83 43:0 /folder /mnt/bound rw shared:9 - ext4 /dev/nbd0 rw
            94 84 43:0 / /mnt/r rw shared:77 - ext4 /dev/nbd0 rw
            """)
        #expect(own.count + received.count + kept.count == 6)
        #expect(Mount.staying(of: received.reversed() + kept, without: own) == kept)
        #expect(Mount.staying(of: received, without: []) == received)
    }

    @Test("a file is replaced whole, or stays as it is")
    func replacing() throws {
        let path = "/tmp/ramdisk-nbd-text-\(getpid())"
        defer { unsafe unlink(path) }
        try TextFile.replace(path, with: "one\n")
        try TextFile.replace(path, with: "two\n")
        #expect(TextFile.read(path) == "two\n")
        #expect(TextFile.read(path + ".new") == nil)
        #expect(throws: Errno.noSuchFileOrDirectory) {
            try TextFile.replace("/no/such/place", with: "x")
        }
    }
}
