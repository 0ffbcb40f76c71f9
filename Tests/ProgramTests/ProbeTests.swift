internal import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("Probes") struct Probes {
        @Test("are listed in the binary, with their arguments")
        func notes() async throws {
            let notes = try await Program("readelf", package: "binutils")(
                "--notes", Program.ramdiskNBD.name)
            var arguments: [String: Int] = [:]
            var name = ""
            for line in notes.split(separator: "\n") {
                let words = line.split(separator: " ")
                if words.first == "Provider:" { name = words.last == "ramdisk_nbd" ? "?" : "" }
                if words.first == "Name:", name == "?" { name = String(words.last ?? "") }
                if words.first == "Arguments:", !name.isEmpty { arguments[name] = words.count - 1 }
            }
            let expected = [
                "connection_open": 1, "connection_close": 2, "request_received": 4,
                "request_done": 4,
            ]
            #expect(arguments == expected, "built without systemtap-sdt-dev?")
        }

        @Test("report every request to a tracer, where the kernel permits one")
        func traced() async throws {
            let bpftrace = Program("bpftrace", package: "bpftrace")
            try await withServer("--size", "1M") { server in
                let script = """
                    usdt:\(Program.ramdiskNBD.name):ramdisk_nbd:request_done
                    { @done[arg1, arg2] = count(); @seen = @seen + 1; if (@seen == 5) { exit(); } }
                    BEGIN { printf("ready\\n"); }
                    """
                let file = server.directory.file("trace")
                async let ending = Program("sh", package: "dash").run(
                    [
                        "-c",
                        "timeout 20 \(bpftrace.name) -p \(server.pid) -e '\(script)' > \(file) 2>&1",
                    ],
                    within: .seconds(40))
                do {
                    try await eventually("bpftrace is ready", within: .seconds(15)) {
                        text(of: file).contains("ready")
                    }
                } catch {
                    _ = try await ending
                    let reason = text(of: file).split(separator: "\n").first ?? "it says nothing"
                    print("skipped: this kernel lets bpftrace see no probes: \(reason)")
                    return
                }
                // The tracer is attached a moment after it is ready.
                try await Task.sleep(for: .milliseconds(500))
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                for number in 0..<4 as Range<UInt64> { try client.write([1], at: number) }
                try client.send(RawClient.request(.read, offset: 1 << 40, length: 1))
                #expect(try client.receiveReply().error == 22)
                _ = try await ending
                let output = text(of: file)
                #expect(output.contains("@done[1, 0]: 4"), "\(output)")
                #expect(output.contains("@done[0, 22]: 1"), "\(output)")
            }
        }
    }
}
