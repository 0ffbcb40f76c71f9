import Foundation
import Glibc
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
                    // bash replaces the @ and what follows it.
                    (["snapshot", "delete", "tabbed@"], ["@monday", "@second"]),
                    (["snapshot", "delete", "tabbed@mo"], ["@monday"]),
                    (["snapshot", "delete", "tabbed@monday", "--f"], ["--force"]),
                ] {
                    #expect(try await offered(words, in: runtime) == offers)
                }
            }
        }

        @Test("offers configuration files, by their names and by paths")
        func configurations() async throws {
            let directory = try TemporaryDirectory()
            for name in ["tabbed.toml", "other.toml", "notes"] {
                try Data().write(to: URL(filePath: directory.file(name)))
            }
            let path = directory.file("")
            for command in ["run", "show", "check"] {
                for (typed, offers) in [
                    ("", ["other", "tabbed"]), ("ta", ["tabbed"]),
                    ("\(path)t", ["\(path)tabbed.toml"]),
                ] {
                    #expect(
                        try await offered(
                            ["config", command, typed], configuration: directory.path) == offers)
                }
            }
        }

        @Test("does not wait for a server that does not respond", .timeLimit(.minutes(1)))
        func stuck() async throws {
            try await withServer("--export", "tabbed=4K") { server in
                server.signal(SIGSTOP)
                defer { server.signal(SIGCONT) }
                let began = ContinuousClock.now
                let runtime = server.directory.file("ramdisk-nbd")
                let offers = try await offered(["save", "--disk", "tab"], in: runtime)
                #expect(offers.isEmpty)
                let duration = ContinuousClock.now - began
                #expect(duration < .seconds(4))
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
            _ words: [String], in runtime: String = "/nowhere",
            configuration: String = "/nowhere"
        ) async throws -> [String] {
            // The packages install both in one file.
            let script =
                try await program("--generate-completion-script", "bash")
                + text(
                    of: URL(filePath: #filePath).deletingLastPathComponent()
                        .appending(path: "../../scripts/lib/package/completion.bash")
                        .standardized.path)
            let path = try requires(program.name, package: program.package)
            let line = ([path] + words).joined(separator: " ")
            let output = try await Program("bash", package: "bash")(
                ["-c", script + Self.pressTab, line, runtime, configuration, path] + words)
            return output.split(separator: "\n").map(String.init).sorted()
        }

        /// Calls the completion as bash does, which splits words at @, = and :, and passes the last part, with an @
        /// before it. `$0` is the line; the arguments are the runtime directory, that of configuration files, and the
        /// words.
        private static let pressTab = #"""

            export RUNTIME_DIRECTORY=$1 CONFIGURATION_DIRECTORY=$2
            shift 2
            for word; do
                [[ -n $word ]] || COMP_WORDS+=("")
                while [[ $word =~ ^([@=:]+|[^@=:]+)(.*)$ ]]; do
                    COMP_WORDS+=("${BASH_REMATCH[1]}") word=${BASH_REMATCH[2]}
                done
            done
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$0 COMP_POINT=${#0}
            current=${COMP_WORDS[COMP_CWORD]}
            [[ ${!#} != *@* ]] || current=@${current#@}
            # Exists only while bash completes.
            compopt() { :; }
            $(complete -p ramdisk-nbd | sed 's/.* -F //') "$current" "${COMP_WORDS[COMP_CWORD - 1]}"
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
