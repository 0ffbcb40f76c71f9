import Foundation
import Harness
import ProgramSupport
import Testing

@testable import MachineCheck

@Suite("The check of a machine") struct MachineCheckTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        // A Debian machine with everything, as root.
        try write("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n")
        try write("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n")
        try write("proc/self/limits", Self.limits)
        try write("proc/meminfo", Self.meminfo(reserved: 512))
        try write("proc/self/mountinfo", Self.mounts.joined(separator: "\n"))
        try write("sys/module/nbd/parameters/nbds_max", "16\n")
        try write("sys/module/tls/initstate", "live\n")
        try write("sys/block/nbd0/pid", "1\n")
        for file in ["sys/block/nbd1/size", "dev/shm/x", "run/systemd/system/x"] {
            try write(file, "")
        }
        for kind in ["ext4", "xfs", "btrfs", "vfat"] { try write("sbin/mkfs.\(kind)", "") }
        try write("sbin/mdadm", "")
    }

    private static let limits = """
        Limit                     Soft Limit           Hard Limit           Units
        Max locked memory         8388608              8388608              bytes
        """

    private static func meminfo(reserved: Int) -> String {
        """
        MemTotal:        4000000 kB
        MemAvailable:    1024 kB
        HugePages_Total:     \(reserved)
        HugePages_Free:      \(reserved)
        HugePages_Rsvd:        0
        Hugepagesize:       2048 kB
        """
    }

    private static let mounts = [
        "1 1 0:1 / /dev/shm rw - tmpfs tmpfs rw,size=1024k",
        "2 1 0:2 / /sys/kernel/tracing rw - tracefs tracefs rw",
        "3 1 0:3 / /dev/hugepages rw - hugetlbfs hugetlbfs rw",
    ]

    private func write(_ file: String, _ text: String) throws {
        let url = URL(filePath: directory.file(file))
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try text.write(to: url, atomically: false, encoding: .utf8)
    }

    private func remove(_ file: String) throws {
        try FileManager.default.removeItem(atPath: directory.file(file))
    }

    private var report: MachineReport { MachineReport(of: Machine(root: directory.path)) }

    private func finding(_ name: String) throws -> Finding {
        try #require(report.findings.first { $0.name == name })
    }

    @Test("of one that has everything finds nothing missing")
    func complete() throws {
        #expect(report.isReady)
        #expect(report.findings.filter { $0.state != .ok } == [])
        #expect(try finding("nbd driver").text == "loaded: nbds_max 16, 2 devices, 1 attached")
        #expect(try finding("huge pages").text == "1 GiB of 1 GiB free")
    }

    @Test(
        "finds a scheduler that is unfair between sessions, where they are groups",
        arguments: [
            ("6.12.117+deb13-amd64", true), ("6.13.0", false), ("6.17.0-14-generic", false),
            ("6.18.44-fc-v657", false), ("6.18.45", true), ("6.19.3", false), ("7.0", true),
            ("6.6.1", true),
        ])
    func scheduler(release: String, isFair: Bool) throws {
        try write("proc/sys/kernel/osrelease", release + "\n")
        try write("proc/sys/kernel/sched_autogroup_enabled", "1\n")
        let found = report.findings.last
        #expect((found?.name == "scheduler") == !isFair)
        if !isFair { #expect(found?.remedy == "sysctl kernel.sched_autogroup_enabled=0") }
        try write("proc/sys/kernel/sched_autogroup_enabled", "0\n")
        #expect(report.findings.last?.name == "systemd")
    }

    @Test("tells a driver that can be loaded from one that is missing")
    func driver() throws {
        try remove("sys/module/nbd")
        #expect(try finding("nbd driver").remedy == "modprobe nbd")
        #expect(!report.isReady)
        let modules = "lib/modules/6.1.0-56-amd64"
        try write("\(modules)/modules.dep", "kernel/drivers/block/nbd.ko.xz:\n")
        #expect(try finding("nbd driver").remedy == "apt-get install kmod")
        try write("sbin/modprobe", "")
        #expect(try finding("nbd driver").state == .ok)
        try write("\(modules)/modules.dep", "kernel/drivers/block/brd.ko:\nkernel/xnbd.ko:\n")
        #expect(try finding("nbd driver").state == .missing)
        #expect(try finding("nbd driver").remedy == "apt-get install linux-image-amd64")
        try write("\(modules)/modules.builtin", "kernel/drivers/block/nbd.ko\n")
        #expect(try finding("nbd driver").state == .ok)
    }

    @Test("of an old kernel or without root says that up cannot work")
    func requirements() throws {
        for release in ["5.13.19", "4.19.0-21-amd64"] {
            try write("proc/sys/kernel/osrelease", release)
            #expect(try finding("kernel").state == .missing)
        }
        for release in ["5.14.0", "6.1.0-56-amd64", "7.2.13"] {
            try write("proc/sys/kernel/osrelease", release)
            #expect(try finding("kernel").state == .ok)
        }
        #expect(report.isReady)
        try write("proc/self/status", "CapEff:\t0000000000000000\n")
        #expect(try finding("permission").state == .missing)
        #expect(try finding("locked memory").text.hasPrefix("at most 8 MiB"))
        #expect(!report.isReady)
    }

    @Test(
        "names the command for what is only optional",
        arguments: [
            ("huge pages", "sysctl vm.nr_hugepages=512"),
            ("mkfs programs", "apt-get install xfsprogs dosfstools"),
            ("tracefs", "mount -t tracefs tracefs /sys/kernel/tracing"),
            ("backings", "mount -t tmpfs tmpfs /dev/shm"), ("kernel TLS", "modprobe tls"),
            ("pools", "apt-get install mdadm"), ("systemd", nil),
        ] as [(String, String?)])
    func optional(name: String, remedy: String?) throws {
        try write("proc/meminfo", Self.meminfo(reserved: 0))
        try write("proc/self/mountinfo", "")
        for file in [
            "sbin/mkfs.xfs", "sbin/mkfs.vfat", "sbin/mdadm", "sys/module/tls", "run/systemd",
        ] {
            try remove(file)
        }
        try write("lib/modules/6.1.0-56-amd64/modules.dep", "kernel/net/tls/tls.ko:\n")
        #expect(try finding(name).state == .optional)
        #expect(try finding(name).remedy == remedy)
        #expect(report.isReady)
    }

    @Test("fits on a screen of 80 columns and 24 lines, also when much is missing")
    func screen() throws {
        for file in ["sys", "sbin", "proc", "run", "dev"] {
            let lines = report.lines
            #expect(lines.count <= 24)
            for line in lines {
                #expect(line.width <= 80, "\(line.text(coloured: false))")
                #expect(!line.text(coloured: false).contains("\u{1b}"))
            }
            try remove(file)
        }
        #expect(report.lines.count > report.findings.count + 2)
    }
}
