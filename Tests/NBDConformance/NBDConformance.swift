// `nbd-conformance`: tries the rules of the NBD specification on a server, any server.

internal import ArgumentParser
internal import Conformance
internal import NBDProtocol

@main
struct NBDConformance: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nbd-conformance",
        abstract: "Tries what the NBD specification says on a server.",
        discussion: """
            The export has to be at least 1 MiB large; what is in it is overwritten, if it can be. A \
            rule that does not apply, because the server does not offer what it is about, counts \
            neither for nor against it. The exit status is 1 when a MUST was not kept.

            EXAMPLES
              Everything, with what failed told:
                nbd-conformance nbd://localhost

              One case, and all about structured replies:
                nbd-conformance --only simple-read-beyond-end nbd://localhost
                nbd-conformance --only structured nbd://localhost

              What there is:
                nbd-conformance --list
            """)

    @Argument(
        help: "nbd://HOST[:PORT][/EXPORT] or nbd+unix:///[EXPORT]?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Try only the cases whose name begins like this. Can be given more than once.",
            valueName: "name"))
    var only: [String] = []

    @Flag(name: .long, help: "Send every message one byte at a time.")
    var bytewise = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "How long to wait for a server that says nothing.", valueName: "seconds"))
    var patience = 10

    @Flag(name: .long, help: "Tell about every case, not only those that fail.")
    var verbose = false

    @Flag(name: .long, help: "Print JSON: an object for each case.")
    var json = false

    @Flag(name: .long, help: "Print the cases there are, and try nothing.")
    var list = false

    private var cases: [ConformanceCase] {
        ConformanceSuite.cases.filter { candidate in
            only.isEmpty || only.contains { candidate.name.hasPrefix($0) }
        }
    }

    func validate() throws {
        guard uri != nil || list else {
            throw ValidationError("Which server? Give its URI: nbd://HOST or --list for the cases.")
        }
        guard uri?.requiresTLS != true else {
            throw ValidationError("TLS is not spoken here; use nbd:// or nbd+unix://.")
        }
        guard (1...3600).contains(patience) else {
            throw ValidationError("--patience has to be from 1 to 3600 seconds.")
        }
        guard !cases.isEmpty else {
            throw ValidationError("No case begins with \(only.joined(separator: " or ")).")
        }
    }

    func run() throws {
        let cases = cases
        guard !list, let uri else { return print(Report.listing(of: cases, asJSON: json)) }
        let peer = try Peer(uri, cut: bytewise ? .bytes : .whole, patience: patience)
        var report = Report(isVerbose: verbose, isJSON: json)
        for candidate in cases { report.add(candidate, candidate.run(on: peer)) }
        report.finish()
        if report.hasBrokenMust { throw ExitCode.failure }
    }
}
