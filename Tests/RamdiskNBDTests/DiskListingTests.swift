import Testing

@testable import RamdiskNBD

@Suite("The list of disks")
struct DiskListingTests {
    @Test("shows short sizes that are not rounded up")
    func sizes() {
        for (bytes, text) in [
            (0, "0"), (1023, "1023"), (1024, "1K"), (40 << 20, "40M"), (1536 << 20, "1.5G"),
            ((1 << 30) - 1, "1023.9M"), (.max, "16777215.9T"),
        ] as [(UInt64, String)] {
            #expect(DiskRow.short(bytes) == text)
        }
    }

    @Test("quotes a text in JSON without changing it")
    func json() {
        #expect(DiskRow.quoted("a\"b\\c\n\u{1}ü") == "\"a\\\"b\\\\c\\u000a\\u0001ü\"")
        #expect(DiskRow.json([]) == "[]\n")
    }

    @Test("is a sentence when it is empty")
    func table() {
        #expect(DiskRow.table([]).hasPrefix("No disk is up"))
    }
}
