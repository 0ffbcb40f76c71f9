// A wrong command line of up, down, list, attach or detach is rejected with one sentence, before anything is
// done. The kernel tests test what the commands do.

import Harness
import Testing

extension ProgramSuite {
    @Suite("The commands for the kernel's devices") struct KernelCommands {
        private let program = Program.ramdiskNBD

        @Test(
            "a wrong command line is rejected with one sentence that names what is wrong",
            arguments: WrongCommand.all)
        func wrong(line: WrongCommand) async throws {
            let ending = try await program.run(line.arguments)
            #expect(ending.status == .exited(64))
            #expect(ending.output.isEmpty)
            #expect(ending.errors.contains(line.named), "\(ending.errors)")
        }

        @Test(
            "each has help with examples",
            arguments: ["up", "down", "list", "attach", "detach"])
        func help(command: String) async throws {
            let said = try await program(command, "--help")
            #expect(said.contains("EXAMPLES"))
            #expect(said.contains("ramdisk-nbd \(command)"))
            // The option that one process of the program passes to another is not for users.
            #expect(!said.contains("--role"))
        }

        @Test("without the privilege that they need, up, attach and detach say what to do")
        func privileges() async throws {
            for arguments in [["up", "--size", "1M"], ["attach", "nbd://localhost:1"]] {
                let ending = try await program.run(arguments, as: .unprivileged)
                #expect(ending.status == .exited(77))
                #expect(ending.isOneSentence(naming: "root"), "\(ending.errors)")
            }
            let ending = try await program.run(["detach", "/dev/nbd4711"], as: .unprivileged)
            #expect(ending.isOneSentence(naming: "/dev/nbd4711"), "\(ending.errors)")
        }

        @Test("a disk that does not exist cannot be taken down")
        func nothingThere() async throws {
            let ending = try await program.run(["down", "/no/such/place"])
            #expect(ending.status == .exited(69))
            #expect(ending.isOneSentence(naming: "/no/such/place"), "\(ending.errors)")
        }
    }
}

/// Wrong arguments, and words that the error must contain.
struct WrongCommand: Sendable, CustomTestStringConvertible {
    let arguments: [String]
    let named: String

    init(_ arguments: String..., names named: String) {
        self.arguments = arguments
        self.named = named
    }

    var testDescription: String { arguments.joined(separator: " ") }

    static let all = [
        WrongCommand("up", "--size", "large", names: "'large'"),
        WrongCommand("up", "--device", "/dev/sda", names: "'/dev/sda'"),
        WrongCommand("up", "--queues", "0", names: "--queues"),
        WrongCommand("up", "--queues", "33", names: "--queues"),
        WrongCommand("up", "--filesystem", "ntfs", names: "'ntfs'"),
        WrongCommand("up", "--mount-options", "noatime", names: "--mount"),
        WrongCommand("up", "--mkfs-options", "-m 0", names: "--mkfs-options"),
        WrongCommand("up", "--mount", "", names: "--mount"),
        WrongCommand("up", "--foreground", "--daemon", names: "--daemon"),
        WrongCommand("up", "--export", "name", names: "--export"),
        WrongCommand(
            "attach", "nbd://h", "--connections", "2", "--timeout", "0", names: "after 30 seconds"),
        WrongCommand("up", "--swap", "--supervise", names: "--swap and --supervise"),
        WrongCommand("up", "--timeout", "0", names: "--timeout"),
        WrongCommand("up", "--timeout", "86401s", names: "--timeout is 86401s"),
        WrongCommand("up", "--timeout", "500ms", names: "whole number of seconds"),
        WrongCommand("up", "--timeout", "30", names: "Add a unit, such as 30s"),
        WrongCommand("up", "--timeout", "-1", names: "--timeout"),
        WrongCommand(
            "up", "--dead-connection-timeout", "86401s", names: "--dead-connection-timeout"),
        WrongCommand("up", "--read-only", "--mount", "/mnt", names: "--read-only"),
        WrongCommand("up", "--keep", names: "--backing"),
        WrongCommand("up", "/mnt", names: "/mnt"),
        WrongCommand("down", names: "Which disk"),
        WrongCommand("down", "--all", "/mnt", names: "--all"),
        WrongCommand("list", "/mnt", names: "/mnt"),
        WrongCommand("attach", names: "uri"),
        WrongCommand("attach", "localhost", names: "begins with nbd://"),
        WrongCommand("attach", "nbd://localhost:0", names: "port from 1 to 65535"),
        WrongCommand("attach", "nbd+unix:///name", names: "socket"),
        WrongCommand("attach", "nbd://localhost", "nbd", names: "'nbd'"),
        WrongCommand("attach", "nbd://localhost", "--connections", "0", names: "--connections"),
        WrongCommand("attach", "nbd://localhost", "--connections", "129", names: "--connections"),
        WrongCommand("detach", names: "device"),
        WrongCommand("detach", "/mnt", names: "'/mnt'"),
    ]
}
