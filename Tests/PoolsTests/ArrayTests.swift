import Glibc
import LinuxHost
import LinuxIO
import Testing

@testable import Pools

@Suite("An array")
struct ArrayTests {
    @Test("is read from sysfs, with a member in each state")
    func devices() throws {
        let root = "/tmp/ramdisk-nbd-pools-test-\(getpid())"
        defer { _ = try? ChildProcess.run("rm", ["-r", root]) }
        func put(_ path: String, _ text: String) throws {
            let parent = path.split(separator: "/").dropLast().joined(separator: "/")
            _ = try Directory.makeAll("\(root)/md127/\(parent)")
            try TextFile.replace("\(root)/md127/\(path)", with: text)
        }
        try put("size", "131072\n")
        try put("md/level", "raid1\n")
        try put("md/raid_disks", "3\n")
        try put("md/layout", "0\n")
        try put("md/sync_action", "recover\n")
        try put("md/sync_completed", "2048 / 8192\n")
        for (device, slot, state) in [
            ("nbd0", "0", "in_sync"), ("nbd1", "none", "faulty,write_mostly"),
            ("nbd2", "2", "spare,write_mostly,failfast"),
        ] {
            try put("md/dev-\(device)/slot", slot + "\n")
            try put("md/dev-\(device)/state", state + "\n")
        }
        let array = MDArray(name: "md127", blocks: root)
        #expect(array.size == 64 << 20)
        #expect(array.slotCount == 3)
        #expect(array.action == "recover")
        #expect(array.progress?.done == 1 << 20)
        #expect(array.progress?.total == 4 << 20)
        #expect(array.devices.map(\.name) == ["nbd0", "nbd1", "nbd2"])
        #expect(array.devices.map(\.isInSync) == [true, false, false])
        #expect(array.devices.map(\.isFaulty) == [false, true, false])
        #expect(array.devices.map(\.slot) == [0, nil, 2])
        try put("md/sync_completed", "none\n")
        #expect(array.progress == nil)
    }

    @Test("is recognised by what mdadm prints of a member, and by nothing else")
    func superblock() {
        let printed = """
            MD_LEVEL=raid10
            MD_DEVICES=4
            MD_NAME=host:r
            MD_ARRAY_SIZE=66.06MB
            MD_UUID=b8a32057:e958b3fb:07ecbf5b:4d2f28a4
            MD_UPDATE_TIME=1795885200
            MD_DEV_UUID=a6b1f0f2:7b30f68e:de57d581:8f6af4dc
            MD_EVENTS=17

            """
        let superblock = MDSuperblock(printed)
        #expect(superblock?.array == "b8a32057:e958b3fb:07ecbf5b:4d2f28a4")
        #expect(superblock?.level == "raid10")
        #expect(superblock?.memberCount == 4)
        #expect(superblock?.updateTime == 1_795_885_200)
        #expect(MDSuperblock("mdadm: No md superblock detected on /dev/nbd0.\n") == nil)
        #expect(MDSuperblock("MD_LEVEL=raid1\nMD_DEVICES=2\n") == nil)
    }
}

@Suite("What a member knows of the others")
struct MemberHistoryTests {
    /// What mdadm 4.2 prints, without some lines.
    private func printed(role: String, states: String, events: Int = 17) -> String {
        """
        /dev/nbd0:
                  Magic : a92b4efc
                Version : 1.2
            Feature Map : 0x1
             Raid Level : raid1
           Raid Devices : 3
                  State : clean

            Update Time : Sat Nov 28 17:00:00 2026
                 Events : \(events)


           Device Role : \(role)
           Array State : \(states) ('A' == active, '.' == missing, 'R' == replacing)

        """
    }

    @Test("is its place, the count of changes, and the places that were empty")
    func parsing() throws {
        let member = try #require(MemberHistory(printed(role: "Active device 2", states: ".AA")))
        #expect(member.events == 17)
        #expect(member.place == 2)
        #expect(member.missing == [0])
        let spare = try #require(MemberHistory(printed(role: "spare", states: "AAR")))
        #expect(spare.place == nil)
        #expect(spare.missing.isEmpty)
        #expect(MemberHistory("mdadm: No md superblock detected on /dev/nbd0.\n") == nil)
    }

    @Test("is that another one was missing, if it was")
    func lacking() throws {
        let first = try #require(MemberHistory(printed(role: "Active device 0", states: "A.A")))
        let second = try #require(MemberHistory(printed(role: "Active device 1", states: "AAA")))
        let spare = try #require(MemberHistory(printed(role: "spare", states: "AAA")))
        #expect(first.lacks(second))
        #expect(!second.lacks(first))
        #expect(!first.lacks(spare))
    }
}

@Suite("A pool")
struct PoolTests {
    @Test("has a name that md and a file system take", arguments: ["r", "Build-2", "a_b", "pool"])
    func names(_ name: String) {
        #expect(PoolConfiguration.isName(name))
    }

    @Test(
        "has no other name",
        arguments: [
            "", "1r", "-r", "a b", "a/b", "..", "é", "aé", String(repeating: "a", count: 25),
        ])
    func wrongNames(_ name: String) {
        #expect(!PoolConfiguration.isName(name))
    }

    @Test("gives each of its members a number that no later one has")
    func numbers() {
        var record = PoolRecord(name: "r", level: .mirror, timeout: 3)
        let first = record.add(.local(1 << 30))
        #expect(record.members[first].text == "local=1G")
        #expect(record.members[first].isLocal)
        #expect(record.label(of: record.members[first]) == "r/0")
        record.members = []
        let second = record.add(.local(1 << 30))
        #expect(record.label(of: record.members[second]) == "r/1")
    }
}
