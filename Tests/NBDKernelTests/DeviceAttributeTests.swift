// What sysfs says of a device, and what it means when sysfs says nothing.

import LinuxHost
import LinuxIO
import SystemPackage
import Testing

@testable import NBDKernel

@Suite("A device in sysfs")
struct DeviceAttributeTests {
    @Test("an attribute that is missing is no attribute, when sysfs is there")
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

    @Test("an attribute that cannot be read is unknown, not missing")
    func unknown() throws {
        #expect(throws: Errno.noSuchFileOrDirectory) {
            try NBDDevice.attribute("backend", of: "nbd0", in: "/tmp/no-sysfs-here")
        }
        // A directory in the attribute's place stands for any other error.
        let root = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        _ = try Directory.makeAll(root + "/nbd0/backend")
        defer { Directory.removeEmpty(root + "/nbd0/backend", levels: 3) }
        #expect(throws: Errno.self) {
            try NBDDevice.attribute("backend", of: "nbd0", in: root)
        }
    }
}
