import ArgumentParser
import Harness
import LinuxIO
import NBDProtocol
import Pools
import Testing

@testable import RamdiskNBD

@Suite("The members of a pool") struct PoolOptionTests {
    @Test("are memory, exports, gaps, and the lines of a file")
    func sources() throws {
        let directory = try TemporaryDirectory()
        let file = directory.file("members")
        try TextFile.replace(file, with: "# all\nnbd://b # rack 1\n\n  local=1G\nnbd://c/x\n")
        let command = try PoolUpCommand.parse([
            "--level", "1", "local=2G", "nbd://a", "missing", "@\(file)",
        ])
        #expect(
            command.members.flatMap(\.self).map(\.description) == [
                "local=2G", "nbd://a", "missing", "nbd://b", "local=1G", "nbd://c/x",
            ])
    }

    @Test(
        "are refused",
        arguments: [
            (["--level", "1", "nbd://a"], "has 2 to 32 members, not 1"),
            (["--level", "1", "missing", "missing"], "cannot start without its members"),
            (["--level", "0", "missing", "nbd://a"], "cannot start without its members"),
            (["--level", "5", "nbd://a", "nbd://b"], "5"),
            (["--level", "1", "local=", "nbd://a"], "Give a number of bytes"),
            (["--level", "1", "/dev/sda", "nbd://a"], "an NBD URI begins with"),
            (["--level", "1", "@/no/such", "nbd://a"], "cannot read the members from /no/such"),
            (["--level", "1", "--timeout", "0s", "nbd://a", "nbd://b"], "--timeout is 0"),
            (["--level", "1", "--name", "a/b", "nbd://a", "nbd://b"], "--name a/b is not a name"),
        ])
    func refusals(arguments: [String], reason: String) throws {
        do {
            _ = try PoolUpCommand.parse(arguments)
            Issue.record("nothing was refused")
        } catch {
            #expect(PoolUpCommand.message(for: error).contains(reason))
        }
    }
}
