import Glibc
import LinuxHost
import LinuxIO
import NBDKernel
import NBDServer
import ServerHost
import Testing

@testable import KernelDisks

@Suite("Records and messages")
struct DiskRecordTests {
    @Test("a record is read as it was written, whatever a path contains")
    func record() throws {
        var record = DiskRecord(supervisor: ProcessIdentity(pid: 7, start: 123))
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
        record.image = "/srv/disk.img"
        record.failedSave = DiskRecord.FailedSave(count: 2, sentence: "it is not saved: no space")
        record.pool = "r/0"
        record.log = "/run/log"
        #expect(DiskRecord(text: record.text, token: record.token) == record)
    }

    @Test(
        "a record is read as it was written, whatever bytes a path ends with",
        arguments: [
            "/mnt/a\r", "/mnt/\r\n", "/mnt/\r\nsize 1", "/mnt/\\", "/mnt/\n", "/mnt/\u{301}",
        ])
    func pathEnd(path: String) {
        var record = DiskRecord(supervisor: ProcessIdentity(pid: 7, start: 123))
        record.identifier = "ramdisk-nbd:memory=00"
        record.mountPoint = path
        record.image = path
        let read = DiskRecord(text: record.text, token: record.token)
        // Swift's strings are equal when they are canonically equivalent; paths are bytes.
        #expect(read?.mountPoint.map { Array($0.utf8) } == Array(path.utf8))
        #expect(read == record)
    }

    @Test("a record names no group of processes, and no count below zero")
    func numbers() throws {
        #expect(DiskRecord(text: "supervisor -1 5\n", token: "") == nil)
        #expect(DiskRecord(text: "supervisor 0 5\n", token: "") == nil)
        let text = "supervisor 7 5\nworker -1 5\nqueues -3\nmade-directories -3\n"
        let record = try #require(DiskRecord(text: text, token: ""))
        #expect(record.worker == nil)
        #expect(record.queues == 1)
        #expect(record.madeDirectories == 0)
    }

    @Test("a backing has one path, however its directory is spelled")
    func backingPath() throws {
        let directory = try temporaryDirectory()
        defer { removeDirectory(directory) }
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
        "a text without a supervisor is not a record",
        arguments: ["", "identifier x\n", "supervisor 7\nidentifier x\n", "supervisor\n"])
    func noRecord(text: String) {
        #expect(DiskRecord(text: text, token: "") == nil)
    }

    @Test("a message is read as it was written, and no other bytes are a message")
    func messages() {
        var start = InitialDiskState(isBlank: false, wasFound: false)
        start.sectorSize = 512
        start.identity = .random()
        let messages: [WorkerMessage] = [
            .serve, .stopAndKeep, .stopAndRemove, .ready(start), .ended(0), .ended(.max),
            .ended(0x0102_0304),
            .ready(InitialDiskState(isBlank: true, wasFound: false)),
            .ready(InitialDiskState(isBlank: false, wasFound: true)), .freeze(7), .thaw(.max),
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

    @Test("a message with a text is read as it was written, with and without the text")
    func texts() {
        for message in [
            WorkerMessage.mounted(nil), .mounted("/mnt/ü"), .frozen(7, failure: nil),
            .frozen(7, failure: "no"), .saved(failure: nil), .saved(failure: "no"),
        ] {
            #expect(WorkerMessage(decoding: message.encoded) == message)
        }
        #expect(WorkerMessage(decoding: Array("f1234567".utf8)) == nil)
    }

    @Test("the reason why a save has failed fits into a message, however long it is")
    func failedSave() throws {
        for reason in [nil, "no space", String(repeating: "ü", count: 5_000)] {
            let channel = try DescriptorChannel.pair()
            try channel.first.send(WorkerMessage.saved(failure: reason).encoded)
            guard let message = try channel.second.receive() else {
                Issue.record("there is no message")
                continue
            }
            let received = WorkerMessage.saved(failure: reason.map { String($0.prefix(450)) })
            #expect(WorkerMessage(decoding: message.bytes) == received)
        }
    }
}
