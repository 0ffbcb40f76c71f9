import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite(
        "The removal of the package",
        .enabled(if: geteuid() == 0, "only root can have a /run of its own"))
    struct PackageRemoval {
        @Test(
            "is refused while a disk or a unit is in use, or when that cannot be found out",
            arguments: [
                Answers(list: #"echo '[{"state":"served"}]'"#),
                Answers(list: #"echo '[{"state":"orphaned"}]'"#),
                Answers(
                    list: "exit 70", setUp: "mkdir -p /run/ramdisk-nbd; >/run/ramdisk-nbd/nbd0.disk"
                ),
                Answers(units: "echo ramdisk-nbd-serve@quiet.service"),
                Answers(units: "exit 1"),
                // A client that connects before the sockets are stopped.
                Answers(units: "[ ! -e /run/stopped ] || echo ramdisk-nbd.service"),
            ])
        func refused(answers: Answers) async throws {
            let ending = try await removal(answers)
            #expect(ending.status == .exited(1))
            #expect(ending.errors.contains("ramdisk-nbd is not removed"))
        }

        @Test("is refused with the name of each pool that is up, and what takes it down")
        func pools() async throws {
            let ending = try await removal(
                Answers(
                    setUp:
                        "mkdir -p /run/ramdisk-nbd; touch /run/ramdisk-nbd/r.pool /run/ramdisk-nbd/b-2.pool"
                ))
            #expect(ending.status == .exited(1))
            for name in ["r", "b-2"] {
                #expect(
                    ending.errors.contains(
                        "the pool \(name) is up: ramdisk-nbd pool down \(name)\n"))
            }
        }

        @Test(
            "stops nothing but sockets, and not the servers that require them",
            arguments: [
                Answers(), Answers(list: #"echo '[{"state":"attached"}]'"#),
                Answers(list: "exit 127"),
            ])
        func allowed(answers: Answers) async throws {
            let ending = try await removal(answers)
            #expect(ending.status == .exited(0), "\(ending.errors)")
            #expect(
                ending.output == "stop --job-mode=ignore-dependencies ramdisk-nbd*.socket\n")
        }

        /// What the commands do: shell commands.
        struct Answers: Sendable, CustomTestStringConvertible {
            var list = "echo '[]'"
            var units = ":"
            var setUp = ":"

            var testDescription: String { "\(list); \(units); \(setUp)" }
        }

        /// Runs the script in a mount namespace in which systemd seems to run.
        private func removal(_ answers: Answers) async throws -> Program.Ending {
            let directory = try TemporaryDirectory()
            let script = URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../debian/ramdisk-nbd.prerm").standardized.path
            for (name, text) in [
                ("ramdisk-nbd", answers.list),
                (
                    "systemctl",
                    """
                    if [ "$1" = list-units ]; then \(answers.units); exit; fi
                    touch /run/stopped
                    echo "$*"
                    """
                ),
            ] {
                let path = directory.file(name)
                try "#!/bin/sh\n\(text)\n".write(toFile: path, atomically: false, encoding: .utf8)
                unsafe chmod(path, 0o755)
            }
            let shell = """
                mount -t tmpfs run /run
                mkdir -p /run/systemd/system
                \(answers.setUp)
                PATH=\(directory.path):$PATH
                exec sh \(script) remove
                """
            return try await Program("unshare", package: "util-linux").run(
                ["--mount", "--propagation", "private", "sh", "-ec", shell])
        }
    }
}
