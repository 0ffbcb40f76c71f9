@testable import KernelDisks
import NBDKernel
import Observability
import ProgramSupport
import Testing

@Suite("The list of disks")
struct DiskListingTests {
    @Test("is an array of JSON objects with sorted keys, in which a missing value is null")
    func json() throws {
        let disk = ListedDisk(
            device: "/dev/nbd0", size: 4096, mountPoint: "/a\"b\\c\n\u{1}ü", state: .up, process: 7)
        let object =
            "{\"backing\":null,\"device\":\"/dev/nbd0\",\"filesystem\":null,\"image\":null,"
            + "\"mount\":\"/a\\\"b\\\\c\\n\\u0001ü\",\"pid\":7,\"server\":null,\"settings\":null,"
            + "\"size\":4096,\"state\":\"up\",\"used\":null,\"worker\":null}"
        #expect(try jsonLine([disk, disk]) == "[\(object),\(object)]\n")
        #expect(try jsonLine([ListedDisk]()) == "[]\n")
    }

    @Test("has the image of a disk as an object, in which a missing value is null too")
    func image() throws {
        var image = ListedImage(path: "/a.img")
        #expect(
            try jsonLine(image)
                == "{\"dirtyBytes\":null,\"error\":null,\"failures\":null,\"path\":\"/a.img\","
                + "\"restore\":null,\"savedUnixSeconds\":null,\"seconds\":null,\"writtenBytes\":null}\n"
        )
        image.dirtyBytes = 4096
        let disk = ListedDisk(size: 4096, state: .served, image: image)
        #expect(try jsonLine(disk).contains("\"image\":{\"dirtyBytes\":4096,"))
    }

    @Test("says when a disk was saved, how long it took, what has changed, and what failed")
    func saves() {
        func cells(_ image: ListedImage) -> String {
            let disks = [
                ListedDisk(size: 4096, state: .served),
                ListedDisk(size: 8192, state: .up, image: image),
            ]
            return ListedDisk.table(disks, now: 1_000).replacing(/\ {2,}/, with: "|")
        }
        #expect(cells(ListedImage(path: "/a")).contains("|up|unknown|-"))
        #expect(cells(ListedImage(path: "/a", dirtyBytes: 8192)).contains("|up|never|8K"))
        var image = ListedImage(
            path: "/a", savedUnixSeconds: 880, seconds: 1.5, dirtyBytes: 0)
        #expect(cells(image).contains("|up|2:00 ago in 1.50 s|0"), "\(cells(image))")
        #expect(cells(image).contains("|served|-|-"))
        image.error = "no space"
        #expect(cells(image).contains(" s, then failed|"))
        #expect(cells(image).hasSuffix("not saved to /a: no space\n"))
        #expect(!ListedDisk.table([ListedDisk(size: 4096, state: .served)]).contains("SAVED"))
        image.error = nil
        image.restore = RestoreStats(bytesDone: 437, bytesTotal: 1000, error: nil)
        #expect(cells(image).contains("|restoring 43 %|2:00 ago"), "\(cells(image))")
        image.restore?.error = "it is damaged"
        #expect(cells(image).hasSuffix("not all restored from /a: it is damaged\n"))
    }

    @Test("is a table with a dash for a missing value, or a sentence when it is empty")
    func table() {
        let disk = ListedDisk(
            device: "/dev/nbd0", size: 1536 << 20, server: "nbd://host", state: .watched)
        let cells = ListedDisk.table([disk]).split(separator: "\n").last?.split(separator: " ")
        #expect(cells == ["/dev/nbd0", "1.5G", "-", "-", "-", "nbd://host", "watched"])
        #expect(ListedDisk.table([]).hasPrefix("No disk is up"))
        let silent = ListedDisk.table([ListedDisk(state: .served, silence: "it is stuck")])
        let lines = silent.split(separator: "\n")
        #expect(lines[1].split(separator: " ") == ["-", "-", "-", "-", "-", "-", "served"])
        #expect(lines[2] == "it is stuck")
    }

    @Test("shows the kernel's settings of each device if it is asked to")
    func settings() throws {
        let settings = ListedSettings(queues: 2, blockLayer: .ofMemory(mostPayload: nil))
        let disks = [
            ListedDisk(device: "/dev/nbd0", state: .up, settings: settings),
            ListedDisk(size: 4096, state: .served),
        ]
        #expect(!ListedDisk.table(disks).contains("SCHEDULER"))
        let lines = ListedDisk.table(disks, isVerbose: true).split(separator: "\n")
        #expect(lines[0].hasSuffix("RQ_AFFINITY"))
        let cells = lines[1...].map { Array($0.split(separator: " ").dropFirst(6)) }
        #expect(cells[0] == ["up", "2", "none", "1024K", "-", "-", "-"])
        #expect(cells[1] == ["served", "-", "-", "-", "-", "-", "-"])
        let object = try jsonLine(settings)
        #expect(object.hasPrefix("{\"blockLayer\":{\"max_sectors_kb\":1024,"), "\(object)")
        #expect(object.contains("\"scheduler\":\"none\"},\"queues\":2"), "\(object)")
    }
}
