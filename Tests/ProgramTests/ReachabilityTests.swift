internal import Foundation
internal import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A test that drops privileges") struct Reachability {
        @Test(
            "runs a program even below a directory that only root may enter",
            .enabled(if: geteuid() == 0))
        func closedFolder() async throws {
            let directory = try TemporaryDirectory()
            let program = directory.file("id")
            let original = try requires("id", package: "coreutils")
            try FileManager.default.copyItem(atPath: original, toPath: program)
            #expect(unsafe chmod(directory.path, 0o700) == 0)
            let ending = try await Program(program, package: "coreutils").run(
                ["--user"], as: .unprivileged)
            #expect(ending.status == .exited(0), "\(ending.errors)")
            #expect(ending.output == "65534\n")
        }
    }
}
