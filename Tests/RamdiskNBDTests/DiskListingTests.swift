@testable import KernelDisks
import ProgramSupport
import Testing

@testable import RamdiskNBD

@Suite("The list of disks")
struct DiskListingTests {
    @Test("is an array of JSON objects with sorted keys, in which a missing value is null")
    func json() throws {
        let disk = ListedDisk(
            device: "/dev/nbd0", size: 4096, mountPoint: "/a\"b\\c\n\u{1}ü", state: .up, process: 7)
        let object =
            "{\"backing\":null,\"device\":\"/dev/nbd0\",\"filesystem\":null,"
            + "\"mount\":\"/a\\\"b\\\\c\\n\\u0001ü\",\"pid\":7,\"server\":null,\"size\":4096,"
            + "\"state\":\"up\",\"used\":null,\"worker\":null}"
        #expect(try jsonLine([disk, disk]) == "[\(object),\(object)]\n")
        #expect(try jsonLine([ListedDisk]()) == "[]\n")
    }

    @Test("is a table with a dash for a missing value, or a sentence when it is empty")
    func table() {
        let disk = ListedDisk(
            device: "/dev/nbd0", size: 1536 << 20, server: "nbd://host", state: .watched)
        let cells = List.table([disk]).split(separator: "\n").last?.split(separator: " ")
        #expect(cells == ["/dev/nbd0", "1.5G", "-", "-", "-", "nbd://host", "watched"])
        #expect(List.table([]).hasPrefix("No disk is up"))
    }
}
