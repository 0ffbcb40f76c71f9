internal import ArgumentParser
internal import Conformance
internal import NBDProtocol

/// `nbd-conformance`: tests any NBD server against the rules of the specification.
@main
struct NBDConformance: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nbd-conformance",
        abstract: "Tests an NBD server against the rules of the specification.",
        discussion: """
            The export must have at least 1 MiB. If it is writable, its data is overwritten. A rule \
            about something that the server does not offer is neither passed nor failed. The exit \
            status is 1 if the server violates a MUST.

            EXAMPLES
              Run all cases, and show the failed ones:
                nbd-conformance nbd://localhost

              Run one case, or all about structured replies:
                nbd-conformance --only simple-read-beyond-end nbd://localhost
                nbd-conformance --only structured nbd://localhost

              List the cases:
                nbd-conformance --list
            """)

    @Argument(
        help: "nbd://HOST[:PORT][/EXPORT] or nbd+unix:///[EXPORT]?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Run only cases whose name begins with this. Can be repeated.",
            valueName: "name"))
    var only: [String] = []

    @Flag(name: .long, help: "Send every message one byte at a time.")
    var bytewise = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "How long to wait for a silent server.", valueName: "seconds"))
    var patience = 10

    @Flag(name: .long, help: "Show every case, not only failed ones.")
    var verbose = false

    @Flag(name: .long, help: "Print JSON: an array with an object for each case.")
    var json = false

    @Flag(name: .long, help: "List the cases without running them.")
    var list = false

    private var cases: [ConformanceCase] {
        ConformanceSuite.cases.filter { candidate in
            only.isEmpty || only.contains { candidate.name.hasPrefix($0) }
        }
    }

    func validate() throws {
        guard uri != nil || list else {
            throw ValidationError(
                "The URI of a server is missing: give nbd://HOST, or --list for the cases.")
        }
        guard uri?.requiresTLS != true else {
            throw ValidationError(
                "nbd-conformance does not support TLS: use nbd:// or nbd+unix://.")
        }
        guard (1...3600).contains(patience) else {
            throw ValidationError("--patience must be from 1 to 3600 seconds, not \(patience).")
        }
        guard !cases.isEmpty else {
            throw ValidationError(
                "The name of no case begins with \(only.joined(separator: " or ")); see --list.")
        }
    }

    func run() throws {
        let cases = cases
        guard !list, let uri else { return print(Report.listing(of: cases, asJSON: json)) }
        let peer = try Peer(uri, cut: bytewise ? .bytes : .whole, patience: patience)
        var report = Report(isVerbose: verbose, isJSON: json)
        for candidate in cases { report.add(candidate, candidate.run(on: peer)) }
        report.finish()
        if report.hasViolatedMust { throw ExitCode.failure }
    }
}
