import LinuxHost
import LinuxIO
import SystemPackage
import Testing

@testable import NBDKernel

@Suite("The settings of a device")
struct DeviceSettingsTests {
    /// Runs `body` with a directory that has these attributes, as sysfs has them.
    private func withQueue(
        _ attributes: [String: String], _ body: (String) throws -> Void
    ) throws {
        let queue = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        _ = try Directory.make(queue)
        defer {
            for name in Directory.names(in: queue) { Directory.removeFile("\(queue)/\(name)") }
            Directory.removeEmpty(queue)
        }
        for (name, text) in attributes {
            try TextFile.replace("\(queue)/\(name)", with: text + "\n")
        }
        try body(queue)
    }

    @Test("are read as the kernel shows them: of all schedulers, the one in brackets")
    func reading() throws {
        try withQueue([
            "scheduler": "none [mq-deadline] kyber", "max_sectors_kb": "128", "nomerges": "0",
        ]) { queue in
            let settings = DeviceSettings(directory: queue)
            #expect(settings[.scheduler] == "mq-deadline")
            #expect(settings[.largestRequest] == "128")
            #expect(settings[.merging] == "0")
            #expect(settings[.readAhead] == nil)
        }
    }

    @Test("of memory replace what differs, and touch nothing else")
    func writing() throws {
        try withQueue([
            "scheduler": "none [mq-deadline]", "max_sectors_kb": "128", "nr_requests": "256",
            "read_ahead_kb": "4096", "rotational": "1", "nomerges": "1", "rq_affinity": "2",
        ]) { queue in
            #expect(DeviceSettings.ofMemory(mostPayload: 32 << 20).apply(in: queue) == [])
            let texts = [
                "scheduler", "max_sectors_kb", "nr_requests", "read_ahead_kb", "rotational",
            ]
            .map { TextFile.read("\(queue)/\($0)") }
            #expect(texts[0]?.hasPrefix("none") == true)
            #expect(texts[1]?.hasPrefix("1024") == true)
            #expect(texts[2...] == ["256\n", "4096\n", "1\n"])
        }
    }

    @Test("never ask a server for more than it accepts", arguments: [(65536, "64"), (512, "4")])
    func limits(payload: UInt32, kibibytes: String) {
        #expect(DeviceSettings.ofMemory(mostPayload: payload)[.largestRequest] == kibibytes)
        #expect(DeviceSettings.ofMemory(mostPayload: nil)[.largestRequest] == "1024")
    }

    @Test("that the kernel refuses are returned with its reason, and the others are written")
    func refusals() throws {
        try withQueue(["max_sectors_kb": "128"]) { queue in
            let refusals = DeviceSettings.ofMemory(mostPayload: nil).apply(in: queue)
            #expect(
                refusals == [
                    .init(setting: .scheduler, value: "none", error: .noSuchFileOrDirectory)
                ])
            #expect(DeviceSettings(directory: queue)[.largestRequest] == "1024")
        }
    }

    @Test("that a device has already are not written again")
    func unchanged() throws {
        try withQueue(["scheduler": "[none] mq-deadline", "max_sectors_kb": "1024"]) { queue in
            #expect(DeviceSettings.ofMemory(mostPayload: nil).apply(in: queue) == [])
            // A write would have removed the brackets from this file, which the kernel does not keep.
            #expect(TextFile.read("\(queue)/scheduler") == "[none] mq-deadline\n")
        }
    }
}
