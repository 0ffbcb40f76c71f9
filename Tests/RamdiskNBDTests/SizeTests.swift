@testable import ServerHost
import ArgumentParser
import Logging
import NBDServer
import ProgramSupport
import Testing

@testable import RamdiskNBD

@Suite("A size") struct SizeTests {
    private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test(
        "is read with every unit that people use",
        arguments: [
            ("0", 0), ("4096", 4096), ("40M", 40 << 20), ("40m", 40 << 20), ("40MiB", 40 << 20),
            ("40mib", 40 << 20), ("1K", 1024), ("2T", 2 << 40), ("2TiB", 2 << 40),
            ("40MB", 40_000_000), ("1kB", 1000), ("3GB", 3_000_000_000), ("1.5G", 3 << 29),
            ("0.5K", 512), ("1.5GiB", 3 << 29), ("2.56KB", 2560), ("1.0M", 1 << 20),
            ("18446744073709551615", UInt64.max),
        ] as [(String, UInt64)])
    func good(text: String, bytes: UInt64) throws {
        #expect(try ByteCount(parsing: text).bytes == bytes)
    }

    @Test(
        "that cannot be parsed is rejected with a reason",
        arguments: [
            ("", "Give a number"), ("M", "Give a number"), ("40X", "Give a number"),
            ("40P", "Give a number"), ("-1", "Give a number"), ("+1", "Give a number"),
            ("1.G", "Give a number"), (".5G", "Give a number"), ("1.2.3G", "Give a number"),
            ("40 M", "Give a number"), ("1e3", "Give a number"), ("0x10", "Give a number"),
            ("18446744073709551616", "maximum"), ("16777216T", "maximum"),
            ("16777215.9999999T", "sectors"), ("1.1G", "sectors"), ("0.1K", "sectors"),
            ("1.5", "sectors"), ("0.0000001T", "sectors"),
        ] as [(String, String)])
    func bad(text: String, reason: String) {
        #expect {
            try ByteCount(parsing: text)
        } throws: {
            "\($0)".contains(reason)
        }
    }

    @Test(
        "is printed with a unit and to the byte",
        arguments: [
            (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB (1024 bytes)"),
            (4095, "3.9 KiB (4095 bytes)"), (41_943_040, "40 MiB (41943040 bytes)"),
            (109_090_000_000, "101.5 GiB (109090000000 bytes)"),
            (109_951_162_777_600, "100 TiB (109951162777600 bytes)"),
            (UInt64.max, "15.9 EiB (18446744073709551615 bytes)"),
        ] as [(UInt64, String)])
    func words(bytes: UInt64, text: String) {
        #expect(bytes.bytesText == text)
    }

    @Test(
        "follows the last equals sign of a disk's name, if the text there can be one",
        arguments: [
            ("a", "a", nil), ("a=1M", "a", 1 << 20), ("a=b", "a=b", nil),
            ("a=b=1M", "a=b", 1 << 20),
            ("a=1=4K", "a=1", 4096), ("=b", "=b", nil),
        ] as [(String, String, UInt64?)])
    func export(text: String, name: String, bytes: UInt64?) throws {
        let request = try ExportRequest(parsing: text)
        #expect(request == ExportRequest(name: name, size: bytes.map(ByteCount.init)))
    }

    @Test(
        "that is mistyped does not become part of the disk's name",
        arguments: ["a=1X", "a=", "=1M", ""])
    func noExport(text: String) {
        #expect(throws: (any Error).self) { try ExportRequest(parsing: text) }
    }

    @Test("and a description are sent to clients")
    func description() throws {
        let serve = try Serve.parse(["--export", "a=1M", "--export", "b=2M", "--description", "vm"])
        #expect(serve.disks.plans.map(\.description) == ["vm", "vm"])
        #expect(try Serve.parse([]).disks.plans.map(\.description) == ["ramdisk"])
        let export = try serve.disks.plans[0].makeExport(logger: quiet).export
        #expect(export.description == "vm")
    }
}
