import Testing

@testable import LinuxIO

@Suite("A process's own memory")
struct MemoryPressureTests {
    @Test("is its private, readable mappings")
    func own() {
        let code = "55d0c0a00000-55d0c0b00000 r-xp 00000000 08:01 1234  /usr/bin/ramdisk-nbd"
        #expect(OwnMapping(Substring(code)) == OwnMapping(start: 0x55d0_c0a0_0000, count: 1 << 20))
        let stack = "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0  [stack]"
        #expect(OwnMapping(Substring(stack))?.count == 0x21000)
    }

    @Test(
        "is no shared or unreadable mapping, and none of the kernel's",
        arguments: [
            "7f0000000000-7f0000100000 rw-s 00000000 00:01 9  /memfd:ramdisk (deleted)",
            "7f0000000000-7f0000100000 ---p 00000000 00:00 0",
            "7ffc00100000-7ffc00102000 r-xp 00000000 00:00 0  [vdso]",
            "7ffc00100000-7ffc00104000 r--p 00000000 00:00 0  [vvar]",
            "", "x-y r--p 0 0 0", "2000-1000 r--p 00000000 00:00 0",
        ])
    func others(line: String) {
        #expect(OwnMapping(Substring(line)) == nil)
    }

    @Test("the kernel's reserve is known, and has a plausible size")
    func reserve() {
        #expect((4096...(1 << 40)).contains(MemoryPressure.reserveBytes))
    }
}
