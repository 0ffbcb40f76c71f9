import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A command with a temporary disk") struct RunCommand {
        private let program = Program.ramdiskNBD

        @Test("finds the disk by each of the names that it is given, in a directory of its own")
        func environment() async throws {
            let said = try await program(
                "run", "--size", "8M", "--", "sh", "-c",
                """
                test "$uri" = "$NBD_URI" && test "$uri" = "nbd+unix:///?socket=$unixsocket"
                nbdinfo --size "$uri" && stat -c %a "${unixsocket%/*}" && echo "${unixsocket%/*}"
                """)
            let lines = said.split(separator: "\n")
            #expect(lines.prefix(2) == ["8388608", "700"])
            #expect(!exists(String(lines[2])))
        }

        @Test("has its directory in TMPDIR, unless that path is too long for a socket")
        func directory() async throws {
            let directory = try TemporaryDirectory()
            let long = directory.file(String(repeating: "x", count: 90))
            try FileManager.default.createDirectory(
                atPath: long, withIntermediateDirectories: true)
            for (folder, expected) in [(directory.path, directory.path), (long, "/tmp")] {
                let said = try await Program("env", package: "coreutils")(
                    "TMPDIR=\(folder)", program.name, "run", "--", "sh", "-c", "echo $unixsocket")
                #expect(said.hasPrefix("\(expected)/ramdisk-nbd-"))
            }
        }

        @Test(
            "determines the exit status",
            arguments: [
                ("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 128 + SIGKILL),
                ("kill -TERM $$", 128 + SIGTERM),
            ] as [(String, Int32)])
        func status(script: String, status: Int32) async throws {
            let ending = try await program.run(["run", "--", "sh", "-c", script])
            #expect(ending.status == .exited(status))
            #expect(ending.errors.isEmpty)
        }

        @Test(
            "that cannot be started has the exit status that a shell gives it",
            arguments: [("/nowhere/to/be/found", 127), ("no-such-command", 127), ("/etc", 126)]
                as [(String, Int32)])
        func notFound(command: String, status: Int32) async throws {
            let directory = try TemporaryDirectory()
            let ending = try await Program("env", package: "coreutils").run([
                "TMPDIR=\(directory.path)", program.name, "run", "--", command,
            ])
            #expect(ending.status == .exited(status))
            #expect(ending.isOneSentence(naming: command))
            let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
            #expect(left.isEmpty)
        }

        @Test("has the standard streams of `run`, and may have arguments that look like options")
        func streams() async throws {
            let ending = try await Program("sh", package: "dash").run([
                "-c", #"echo in | "$0" run -- sh -c 'cat; echo err >&2; echo "$@"' sh --size 1 --"#,
                program.name,
            ])
            #expect(ending.status == .exited(0))
            #expect(ending.output == "in\n--size 1 --\n")
            #expect(ending.errors == "err\n")
        }

        @Test(
            "gets the signals that `run` gets, and determines the exit status",
            arguments: ["TERM", "INT", "HUP"])
        func signals(name: String) async throws {
            let directory = try TemporaryDirectory()
            let ending = try await Program("bash", package: "bash").run([
                "-c",
                """
                export TMPDIR=$1
                "$0" run -- bash -c '
                    trap "exit 9" \(name); touch $TMPDIR/ready
                    while true; do sleep 0.05; done' & pid=$!
                while ! test -e $1/ready; do sleep 0.02; done
                kill -\(name) $pid; wait $pid; echo $?; rm $1/ready; ls $1
                """, program.name, directory.path,
            ])
            #expect(ending.output == "9\n", "\(ending.errors)")
        }

        @Test("that does not handle a signal is ended by it")
        func signalled() async throws {
            let directory = try TemporaryDirectory()
            let ending = try await Program("bash", package: "bash").run([
                "-c",
                """
                "$0" run -- sh -c 'touch '$1'; exec sleep 60' & pid=$!
                while ! test -e $1; do sleep 0.02; done
                kill -TERM $pid; wait $pid
                """, program.name, directory.file("ready"),
            ])
            #expect(ending.status == .exited(128 + SIGTERM))
        }

        @Test("gets a disk with its content and its flags")
        func disk() async throws {
            let directory = try TemporaryDirectory()
            let image = try directory.randomFile(bytes: 1 << 20)
            try await program(
                "run", "--size", "1M", "--load", image, "--read-only", "--", "sh", "-c",
                """
                nbdcopy "$uri" \(directory.file("copy")) && nbdinfo --is read-only "$uri"
                """)
            let isSame = try sameBytes(image, directory.file("copy"))
            #expect(isSame)
        }
    }
}
