import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("The check of this machine") struct Doctor {
        private let program = Program.ramdiskNBD

        private var hasDriver: Bool { exists("/sys/module/nbd") }

        @Test("says whether the driver is there, and how to get it")
        func driver() async throws {
            let ending = try await program.run(["doctor"])
            #expect(ending.errors.isEmpty)
            let lines = ending.output.split(separator: "\n").map(String.init)
            let index = try #require(lines.firstIndex { $0.contains("nbd driver") })
            if hasDriver {
                #expect(lines[index].hasPrefix("ok "))
            } else if lines[index].hasPrefix("missing ") {
                #expect(
                    lines[index + 1].wholeMatch(of: /\s+# (modprobe nbd|apt-get install .+)/) != nil
                )
            }
            let isMissing = lines.contains { $0.hasPrefix("missing ") }
            #expect(ending.status == .exited(isMissing ? 69 : 0))
        }

        @Test("prints JSON for programs, with the same exit status")
        func json() async throws {
            let ending = try await program.run(["doctor", "--json"])
            let object = try JSONSerialization.jsonObject(with: Data(ending.output.utf8))
            let report = try #require(object as? [String: Any])
            let isReady = try #require(report["ready"] as? Bool)
            #expect(ending.status == .exited(isReady ? 0 : 69))
            let findings = try #require(report["findings"] as? [[String: String]])
            #expect(findings.allSatisfy { ["ok", "optional", "missing"].contains($0["state"]) })
            #expect(findings.contains { $0["state"] == "missing" } == !isReady)
        }

        @Test("has no colours where there is no terminal, and some on one")
        func colours() async throws {
            #expect(!(try await program.run(["doctor"]).output.contains("\u{1b}")))
            let script = Program("script", package: "bsdutils")
            let shown = try await script.run(
                ["-q", "-c", "TERM=xterm NO_COLOR= \(program.name) doctor", "/dev/null"])
            #expect(shown.output.contains("\u{1b}[32mok"))
        }

        @Test("of a user without privileges says that up needs root", .enabled(if: geteuid() == 0))
        func unprivileged() async throws {
            let ending = try await program.run(["doctor"], as: .unprivileged)
            #expect(ending.status == .exited(69))
            #expect(ending.output.contains("up and attach need root, or CAP_SYS_ADMIN"))
        }
    }
}
