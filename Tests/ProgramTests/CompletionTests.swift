// Completions: what bash, zsh and fish offer at the Tab key.

import Harness
import Testing

extension ProgramSuite {
    @Suite("The Tab key") struct Completion {
        private let program = Program.ramdiskNBD

        @Test(
            "offers values",
            arguments: [
                Line("serve", "--size", "4", offers: ["4G", "4K", "4M", "4T"]),
                Line("serve", "--size", "", offers: ["16G", "1G", "256M", "4G", "64M"]),
                Line("up", "--size", "4x", offers: []),
                Line("up", "--filesystem", "", offers: ["btrfs", "ext4", "none", "vfat", "xfs"]),
                Line("up", "--mount", "/usr/shar", offers: ["/usr/share"]),
                Line("serve", "--tls", "re", offers: ["require"]),
                Line("serve", "--allow-user", "nobod", offers: ["nobody"]),
                Line("serve", "--allow-group", "nogrou", offers: ["nogroup"]),
                Line("trace", "--format", "iolog", offers: ["iolog", "iolog2"]),
                Line("snapshot", "rol", offers: ["rollback"]),
            ])
        func values(line: Line) async throws {
            #expect(try await offered(line.words) == line.offers)
        }

        @Test("offers kernel disks and devices as `list` has them")
        func devices() async throws {
            let listed = try await program("list", "--json")
            for (command, words) in [("detach", ["detach", ""]), ("down", ["down", "/dev/"])] {
                for device in try await offered(words) {
                    #expect(listed.contains(device), "\(command) \(device)")
                }
            }
            #expect(try await offered(["up", "--device", "/dev/zero"]).isEmpty)
        }

        @Test("offers the disks and the snapshots of running servers")
        func disks() async throws {
            try await withServer("--export", "tabbed=4K", "--export", "tab-other=4K") { server in
                for name in ["tabbed@monday", "second"] {
                    try await program("snapshot", "create", name, "--control", server.controlPath)
                }
                let runtime = server.directory.file("ramdisk-nbd")
                for (words, offers) in [
                    (["save", "--disk", "tab"], ["tab-other", "tabbed"]),
                    (["trace", "--export", "tabb"], ["tabbed"]),
                    (["snapshot", "create", "tabb"], ["tabbed@"]),
                    (["snapshot", "delete", "tabb"], ["tabbed@monday", "tabbed@second"]),
                ] {
                    #expect(try await offered(words, in: runtime) == offers)
                }
            }
        }

        @Test(
            "gets scripts that zsh and fish would run the program with", arguments: ["zsh", "fish"])
        func others(shell: String) async throws {
            let script = try await program("--generate-completion-script", shell)
            for words in ["down", "detach", "save -- --disk", "serve -- --size"] {
                #expect(script.contains("---completion \(words) "), "\(words)")
            }
        }

        /// Returns what bash offers for the last word, sorted. The program searches the runtime directory, besides
        /// the usual ones, for control sockets.
        private func offered(
            _ words: [String], in runtime: String = "/nowhere"
        ) async throws -> [String] {
            let script = try await program("--generate-completion-script", "bash")
            let path = try requires(program.name, package: program.package)
            let line = ([path] + words).joined(separator: " ")
            let output = try await Program("bash", package: "bash")(
                ["-c", script + Self.pressTab, line, runtime, path] + words)
            return output.split(separator: "\n").map(String.init).sorted()
        }

        /// Calls the completion as bash does. `$0` is the line; the arguments are the runtime directory and the
        /// words.
        private static let pressTab = #"""

            export RUNTIME_DIRECTORY=$1
            shift
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE=$0 COMP_POINT=${#0}
            _ramdisk-nbd ramdisk-nbd "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            ((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
            """#
    }
}

/// The words after the program's name, the last of which is completed, and what is offered for it.
struct Line: Sendable, CustomTestStringConvertible {
    let words: [String]
    let offers: [String]

    init(_ words: String..., offers: [String]) {
        self.words = words
        self.offers = offers
    }

    var testDescription: String { words.joined(separator: " ") }
}
