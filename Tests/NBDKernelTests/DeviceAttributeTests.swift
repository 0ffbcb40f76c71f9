import LinuxHost
import LinuxIO
import SystemPackage
import Testing

@testable import NBDKernel

@Suite("A device in sysfs")
struct DeviceAttributeTests {
    @Test("an attribute that does not exist is nil if sysfs exists")
    func missing() throws {
        let root = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        _ = try Directory.make(root)
        _ = try Directory.make(root + "/nbd0")
        defer { Directory.removeEmpty(root + "/nbd0", levels: 2) }
        #expect(try NBDDevice.attribute("backend", of: "nbd0", in: root) == nil)
        try TextFile.replace(root + "/nbd0/backend", with: "mine\n")
        #expect(try NBDDevice.attribute("backend", of: "nbd0", in: root) == "mine")
        Directory.removeFile(root + "/nbd0/backend")
    }

    @Test("an attribute that cannot be read is an error, not nil")
    func unknown() throws {
        #expect(throws: Errno.noSuchFileOrDirectory) {
            try NBDDevice.attribute("backend", of: "nbd0", in: "/tmp/no-sysfs-here")
        }
        // A directory in place of the attribute causes another error.
        let root = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        _ = try Directory.makeAll(root + "/nbd0/backend")
        defer { Directory.removeEmpty(root + "/nbd0/backend", levels: 3) }
        #expect(throws: Errno.self) {
            try NBDDevice.attribute("backend", of: "nbd0", in: root)
        }
    }
}
