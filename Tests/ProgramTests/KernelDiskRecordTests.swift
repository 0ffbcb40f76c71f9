// What processes of the program write down for each other, and what `list` makes of it.

@testable import Observability
@testable import ProgramSupport
@testable import ServerHost
@testable import KernelDisks
import Glibc
import LinuxHost
import LinuxIO
import NBDKernel
import NBDServer
import Testing

@testable import RamdiskNBD

@Suite("Records, messages and the list of disks")
struct KernelDiskRecordTests {
    @Test("a record is read as it was written, whatever is in a path")
    func record() throws {
        var record = DiskRecord(owner: ProcessIdentity(pid: 7, start: 123))
        #expect(DiskRecord(text: record.text, token: record.token) == record)
        record.identifier = "ramdisk-nbd:memory=00"
        record.worker = ProcessIdentity(pid: 8, start: 124)
        record.device = NBDDevice(index: 3)
        record.size = 1 << 40
        record.mountPoint = "/mnt/with space,\nline\\n and \\ end"
        record.madeDirectories = 2
        record.isDetaching = true
        record.remote = "nbd://host/name"
        record.fileSystem = "ext4"
        record.backing = BackingConfiguration(name: "a", directory: "/dev/shm/x", isKept: true)
        record.usesReservedPages = true
        record.queues = 4
        record.log = "/run/log"
        #expect(DiskRecord(text: record.text, token: record.token) == record)
    }

    @Test("two records of one process id have files of their own, and one going leaves the other")
    func samePID() throws {
        let directory = RuntimeDirectory(path: try temporaryDirectory())
        defer { removeTree(directory.path) }
        let old = DiskRecord(owner: ProcessIdentity(pid: 2, start: 1))
        let new = DiskRecord(owner: ProcessIdentity(pid: 2, start: 2))
        try directory.write(old)
        try directory.write(new)
        let control = ControlConfiguration.path(in: directory.path, of: 2)
        try TextFile.replace(control, with: "")
        directory.remove(old, living: new)
        #expect(directory.records == [new])
        #expect(TextFile.read(control) != nil)
        directory.remove(new)
        #expect(!Directory.exists(directory.path))
    }

    @Test("memory has one path, however its directory is spelled")
    func backingPath() throws {
        let directory = try temporaryDirectory()
        defer { removeTree(directory) }
        let link = "\(directory)/link"
        #expect(unsafe symlink(directory, link) == 0)
        let paths = [
            directory, "\(directory)/", "\(directory)/../\(directory.split(separator: "/").last!)",
            link,
        ]
        .map { BackingConfiguration(name: "a", directory: $0, isKept: false).path(false) }
        #expect(Set(paths) == ["\(directory)/a"])
    }

    @Test(
        "what is no record is none",
        arguments: ["", "identifier x\n", "owner 7\nidentifier x\n", "owner\n"])
    func noRecord(text: String) {
        #expect(DiskRecord(text: text, token: "") == nil)
    }

    @Test("a message is read as it was written, and nothing else is one")
    func messages() {
        var start = InitialDiskState(isBlank: false, wasFound: false)
        start.sectorSize = 512
        start.identity = .random()
        let messages: [WorkerMessage] = [
            .serve, .stopAndKeep, .stopAndRemove, .ready(start), .ended(0), .ended(.max),
            .ended(0x0102_0304),
            .ready(InitialDiskState(isBlank: true, wasFound: false)),
            .ready(InitialDiskState(isBlank: false, wasFound: true)),
        ]
        for message in messages {
            let bytes = message.encoded
            #expect(WorkerMessage(decoding: bytes) == message)
            for count in 0..<bytes.count {
                #expect(WorkerMessage(decoding: Array(bytes.prefix(count))) == nil)
            }
            #expect(WorkerMessage(decoding: bytes + [0]) == nil)
        }
        #expect(WorkerMessage(decoding: [UInt8(ascii: "x")]) == nil)
    }

    @Test("sizes are short, and not rounded up")
    func sizes() {
        for (bytes, text) in [
            (0, "0"), (1023, "1023"), (1024, "1K"), (40 << 20, "40M"), (1536 << 20, "1.5G"),
            ((1 << 30) - 1, "1023.9M"), (.max, "16777215.9T"),
        ] as [(UInt64, String)] {
            #expect(DiskRow.short(bytes) == text)
        }
    }

    @Test("a text in JSON is what it was, quoted")
    func json() {
        #expect(DiskRow.quoted("a\"b\\c\n\u{1}ü") == "\"a\\\"b\\\\c\\u000a\\u0001ü\"")
        #expect(DiskRow.json([]) == "[]\n")
    }

    @Test("an empty list is a sentence")
    func table() {
        #expect(DiskRow.table([]).hasPrefix("No disk is up"))
    }

    private func temporaryDirectory() throws -> String {
        let path = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        _ = try Directory.make(path)
        return absolutePath(path)
    }

    private func removeTree(_ path: String) {
        for name in Directory.names(in: path) { Directory.removeFile("\(path)/\(name)") }
        Directory.removeEmpty(path)
    }
}
