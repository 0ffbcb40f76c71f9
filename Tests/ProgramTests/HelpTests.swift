import Harness
import Testing

extension ProgramSuite {
    @Suite("The help of each command") struct Help {
        private let program = Program.ramdiskNBD

        static let commands = [
            [], ["serve"], ["run"], ["up"], ["down"], ["list"], ["attach"], ["detach"], ["stats"],
            ["top"], ["trace"], ["tls"], ["tls", "init"],
            ["save"], ["snapshot"], ["snapshot", "create"], ["snapshot", "list"],
            ["snapshot", "delete"], ["snapshot", "rollback"], ["clone"], ["clone", "create"],
            ["clone", "list"], ["clone", "delete"],
            ["config"], ["config", "check"], ["config", "show"], ["config", "run"], ["doctor"],
            ["checkpoint"], ["checkpoint", "create"], ["checkpoint", "list"],
            ["checkpoint", "commit"], ["checkpoint", "abort"],
            ["pool"], ["pool", "up"], ["pool", "down"], ["pool", "status"], ["pool", "replace"],
        ]

        @Test("names only commands that these tests cover")
        func all() async throws {
            for parent in [
                [], ["tls"], ["snapshot"], ["clone"], ["checkpoint"], ["config"], ["pool"],
            ] {
                let help = try await program(parent + ["--help"])
                let lines = help.split(separator: "\n").map(String.init)
                var listed: [String] = []
                for line in lines.drop(while: { $0 != "SUBCOMMANDS:" }).dropFirst() {
                    guard let match = line.prefixMatch(of: #/\s{2}([a-z]+)/#) else { continue }
                    listed.append(String(match.output.1))
                }
                #expect(!listed.isEmpty)
                for name in listed { #expect(Self.commands.contains(parent + [name])) }
            }
        }

        @Test("fits 80 columns", arguments: commands)
        func width(command: [String]) async throws {
            let help = try await program(command + ["--help"])
            for line in help.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
        }

        @Test("has examples that are complete commands", arguments: commands)
        func examples(command: [String]) async throws {
            let help = try await program(command + ["--help"])
            let all = help.split(separator: "\n", omittingEmptySubsequences: false)
            let lines = all.drop { $0 != "EXAMPLES" }.dropFirst().prefix { !$0.hasPrefix("USAGE") }
            // A line that is too long would continue at the margin.
            for line in lines where !line.isEmpty { #expect(line.hasPrefix("  "), "\(line)") }
            for (line, next) in zip(lines, lines.dropFirst()) {
                // A command continues on the next line only after a backslash.
                #expect(line.hasSuffix("\\") == next.hasPrefix("      "), "\(line)\n\(next)")
                // A gap shows that a line break is missing.
                #expect(!line.drop { $0 == " " }.contains("   "), "\(line)")
            }
        }
    }
}
