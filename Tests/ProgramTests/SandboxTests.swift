import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A server that confines itself") struct Sandbox {
        /// A call that the probe tries, and the error with which it fails.
        struct Call: Sendable, CustomTestStringConvertible {
            let command: String
            let testDescription: String
            let error: Int32

            init(_ command: String, _ description: String, _ error: Int32) {
                self.command = command
                testDescription = description
                self.error = error
            }
        }

        @Test(
            "denies calls to all of its threads, and serves on",
            arguments: [
                Call("o", "open(/etc/passwd)", EACCES), Call("w", "open for writing", EPERM),
                Call("s", "socket(AF_INET)", EPERM), Call("u", "socket(AF_UNIX)", EPERM),
                Call("c", "connect", EPERM), Call("k", "kill of another process", EPERM),
                Call("f", "fork", EPERM), Call("x", "memory with code", EPERM),
                Call("n", "an unknown call", ENOSYS), Call("g", "open(/proc/meminfo)", 0),
            ])
        func denied(call: Call) async throws {
            let probe = try await Probe()
            let isLogged = ["w", "s", "u", "c", "k", "x", "n"].contains(call.command)
            try await withServer(
                start: .init(shell: probe.shell, mayRefuseCalls: true)
            ) { server in
                try probe.send(call.command)
                try await eventually("the probe has a result; the log:\n\(server.log)") {
                    probe.results.hasSuffix("\n")
                }
                #expect(probe.results == "\(call.command) \(call.error)\n")
                try RawClient(unix: server.socketPath).enter()
                guard isLogged else { return }
                try await eventually("the refused call is in the log:\n\(server.log)") {
                    server.log.contains("the sandbox has refused a system call")
                }
            }
            #expect(!exists(probe.directory.file("outside")))
        }

        @Test(
            "ends at once when it makes a call that only an attacker would",
            arguments: [
                Call("m", "mount", 0), Call("p", "ptrace", 0), Call("v", "process_vm_readv", 0),
                Call("e", "execve", 0),
            ])
        func fatal(call: Call) async throws {
            let probe = try await Probe()
            try await withServer(start: .init(shell: probe.shell, ending: .signalled(SIGSYS))) {
                server in
                try probe.send(call.command)
                try await server.ends()
            }
            #expect(probe.results.isEmpty)
        }

        @Test("may make all of these calls with --sandbox off")
        func off() async throws {
            let probe = try await Probe()
            try await withServer("--sandbox", "off", start: .init(shell: probe.shell)) { server in
                for command in ["o", "w", "s", "x", "g"] { try probe.send(command) }
                try await eventually("the probe has the results") {
                    probe.results == "o 0\nw 0\ns 0\nx 0\ng 0\n"
                }
            }
        }

        @Test("opens files for writing beside its image only")
        func image() async throws {
            let probe = try await Probe()
            let inside = try TemporaryDirectory()
            try await withServer(
                "--image", inside.file("disk.img"), "--size", "1M",
                start: .init(shell: probe.shell, mayRefuseCalls: true)
            ) { server in
                try probe.send("w")
                try await eventually("the probe has a result") { probe.results == "w \(EACCES)\n" }
            }
            #expect(exists(inside.file("disk.img")))
        }

        // MARK: - Users and secrets

        @Test(
            "of root switches to another user in all of its threads, with nothing left of root",
            .enabled(if: geteuid() == 0, "only root can change its user"))
        func user() async throws {
            try await withServer("--user", "nobody") { server in
                try RawClient(unix: server.socketPath).enter()
                #expect(try server.ask("/healthz").status == 200)
                for task in try server.entries("task") {
                    let status = text(of: "/proc/\(server.pid)/task/\(task)/status")
                    #expect(status.contains("Uid:\t65534\t65534\t65534\t65534\n"))
                    #expect(status.contains("Gid:\t65534\t65534\t65534\t65534\n"))
                    #expect(
                        status.contains(/CapPrm:\t0+\n/) && status.contains(/Groups:\t(65534 )?\n/))
                }
            }
        }

        @Test(
            "does not start as a user that could not save the disk",
            .enabled(if: geteuid() == 0, "only root can change its user"))
        func userWithImage() async throws {
            let directory = try TemporaryDirectory()
            let ending = try await Program.ramdiskNBD.run([
                "serve", "--unix", directory.file("s"), "--no-control", "--user", "nobody",
                "--image",
                directory.file("disk.img"),
            ])
            #expect(ending.status == .exited(77))
            #expect(ending.isOneSentence(naming: directory.path))
            #expect(!exists(directory.file("s")) && !exists(directory.file("disk.img")))
        }

        @Test("with keys for TLS cannot be dumped, nor read by another process of its user")
        func secret() async throws {
            let probe = try await Probe()
            let keys = probe.directory.file("keys")
            try "alice:00112233445566778899aabbccddeeff\n".write(
                toFile: keys, atomically: false, encoding: .utf8)
            #expect(unsafe chmod(keys, 0o600) == 0)
            for (options, result) in [(["--tls-psk", keys], "0"), ([], "\(EEXIST)")] {
                try await withServer(options, start: .init(shell: probe.shell)) { server in
                    try probe.send("d")
                    try await eventually("the probe has a result") {
                        probe.results.hasSuffix("d \(result)\n")
                    }
                }
            }
        }

        @Test("leaves its disk out of core dumps with --no-dump, and only then")
        func noDump() async throws {
            for (options, isLeftOut) in [(["--no-dump"], true), ([], false)] {
                for kind in [[], ["--sparse"]] {
                    try await withServer(["--size", "77M"] + options + kind) { server in
                        // smaps(5): the mapping of the disk, and its flags, of which dd is MADV_DONTDUMP.
                        // With cat: Foundation reads only the beginning of such a long file of proc(5).
                        let maps = try await Program("cat", package: "coreutils")(
                            "/proc/\(server.pid)/smaps")
                        let disk = try #require(maps.firstMatch(of: /\nSize: +78848 kB\n/))
                        let flags = try #require(
                            maps[disk.range.upperBound...].split(separator: "\n").first {
                                $0.hasPrefix("VmFlags:")
                            })
                        #expect(flags.contains(" dd") == isLeftOut)
                    }
                }
            }
        }

        @Test(
            "shows no data of one disk in another: memory is zero when a disk or a clone gets it",
            arguments: [[], ["--sparse"]])
        func freedMemory(options: [String]) async throws {
            let exports = ["--export", "a=1M", "--export", "b=1M"]
            try await withServer(exports + options) { server in
                let a = try RawClient(unix: server.socketPath)
                try a.enter("a")
                let control = ["--control", server.controlPath]
                for round in 0..<3 {
                    try a.write([UInt8](repeating: 0xaa, count: 1 << 19), at: 0)
                    try await Program.ramdiskNBD(["clone", "create", "a", "c\(round)"] + control)
                    try a.send(
                        RawClient.request(.writeZeroes, cookie: 1, offset: 0, length: 1 << 19))
                    #expect(try a.receiveReply().error == 0)
                    let b = try RawClient(unix: server.socketPath)
                    try b.enter("b")
                    try b.write([7], at: UInt64(round) * 65_536)
                    let all = try b.read(at: 0, count: 1 << 20)
                    #expect(all.allSatisfy { $0 == 0 || $0 == 7 })
                    #expect(all.count { $0 == 7 } == round + 1)
                    #expect(try a.read(at: 0, count: 1 << 20).allSatisfy { $0 == 0 })
                    try await Program.ramdiskNBD(["clone", "delete", "c\(round)"] + control)
                }
            }
        }

        // MARK: - What it says, and saves

        @Test("says what is in force, in its log and in its statistics")
        func told() async throws {
            try await withServer { server in
                #expect(server.log.contains(/ready sandbox=seccomp/))
                let stats = try await Program.ramdiskNBD(
                    "stats", "--json", "--control", server.controlPath)
                #expect(stats.contains(/"sandbox":"seccomp/))
                let status = text(of: "/proc/\(server.pid)/status")
                #expect(status.contains("Seccomp:\t2\n") && status.contains("NoNewPrivs:\t1\n"))
            }
            try await withServer("--sandbox", "off") { server in
                #expect(text(of: "/proc/\(server.pid)/status").contains("Seccomp:\t0\n"))
            }
        }

        @Test("saves to any file that the user of `save` may write, though it may not itself")
        func save() async throws {
            let directory = try TemporaryDirectory()
            let data = try directory.randomFile(bytes: 3 << 20)
            let saved = directory.file("saved.img")
            try await withServer("--size", "8M", "--load", data) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([UInt8](repeating: 9, count: 5000), at: 7 << 20)
                let control = ["--control", server.controlPath]
                let output = try await Program.ramdiskNBD(["save", saved] + control)
                #expect(output.hasPrefix("saved to \(saved): wrote "))
                try client.write([UInt8](repeating: 1, count: 4096), at: 0)
                // Again, onto what is there.
                try await Program.ramdiskNBD(["save", saved] + control)
                let other = try await Program.ramdiskNBD.run(["save", "/nowhere/x"] + control)
                #expect(!other.status.isSuccess)
                #expect(other.errors.contains("/nowhere"))
            }
            let bytes = try Data(contentsOf: URL(filePath: saved))
            let original = try Data(contentsOf: URL(filePath: data))
            #expect(bytes.count == 8 << 20)
            #expect(bytes.prefix(4096).allSatisfy { $0 == 1 })
            #expect(bytes[4096..<3 << 20] == original[4096...])
            #expect(bytes[3 << 20..<7 << 20].allSatisfy { $0 == 0 })
            #expect(bytes[(7 << 20)...].prefix(5000).allSatisfy { $0 == 9 })
        }
    }
}

/// A library inside the server that makes the system call that the test asks for, with the file for requests and the
/// one for results.
private final class Probe: Sendable {
    let directory: TemporaryDirectory

    init() async throws {
        directory = try TemporaryDirectory()
        let source = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "SandboxProbe.c").path
        try await Program("cc", package: "gcc")(
            "-shared", "-fPIC", "-O1", "-o", directory.file("probe.so"), source, "-lpthread")
        guard unsafe mkfifo(directory.file("commands"), 0o600) == 0 else {
            throw TestError("cannot make a FIFO: errno \(errno)")
        }
        try Data().write(to: URL(filePath: directory.file("results")))
    }

    /// A shell command that replaces the shell with the server, and the probe in it.
    var shell: String {
        """
        export PROBE_COMMANDS=\(directory.file("commands")) PROBE_RESULTS=\(directory.file("results")) \
        PROBE_OUTSIDE=\(directory.file("outside")) PROBE_TESTER=\(getpid())
        LD_PRELOAD=\(directory.file("probe.so")) exec "$@"
        """
    }

    func send(_ command: String) throws {
        let file = try FileHandle(forWritingTo: URL(filePath: directory.file("commands")))
        try file.write(contentsOf: Data(command.utf8))
        try file.close()
    }

    var results: String { text(of: directory.file("results")) }
}
