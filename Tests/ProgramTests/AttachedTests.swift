// What processes of the program write down for each other, and what `list` makes of it.

import LinuxIO
import NBDKernel
import Testing

@testable import RamdiskNBD

@Suite("Records, messages and the list of disks")
struct AttachedTests {
    @Test("a record is read as it was written, whatever is in a path")
    func record() throws {
        var record = DiskRecord(
            owner: ProcessIdentity(number: 7, start: 123), identifier: "ramdisk-nbd:backing=a")
        #expect(DiskRecord(text: record.text) == record)
        record.worker = ProcessIdentity(number: 8, start: 124)
        record.device = NBDDevice(index: 3)
        record.size = 1 << 40
        record.mountPoint = "/mnt/with space,\nline\\n and \\ end"
        record.madeMountPoint = true
        record.fileSystem = "ext4"
        record.backing = BackingPlan(name: "a", directory: "/dev/shm/x", isKept: true)
        record.usesReservedPages = true
        record.queues = 4
        record.log = "/run/log"
        #expect(DiskRecord(text: record.text) == record)
    }

    @Test(
        "what is no record is none",
        arguments: ["", "owner 7 123\n", "identifier x\n", "owner 7\nidentifier x\n", "owner\n"])
    func noRecord(text: String) {
        #expect(DiskRecord(text: text) == nil)
    }

    @Test("a message is read as it was written, and nothing else is one")
    func messages() {
        let messages: [WorkerMessage] = [
            .serve, .stopAndKeep, .stopAndRemove, .smallSectors, .ended(0), .ended(.max),
            .ended(0x0102_0304),
            .ready(DiskStart(isBlank: true, wasFound: false)),
            .ready(DiskStart(isBlank: false, wasFound: true)),
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

    @Test("an empty list is a head alone")
    func table() {
        #expect(DiskRow.table([]).hasPrefix("DEVICE  SIZE  USED"))
    }
}
