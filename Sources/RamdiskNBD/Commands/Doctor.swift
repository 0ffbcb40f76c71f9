internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import MachineCheck
internal import ProgramSupport

/// `ramdisk-nbd doctor`.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what this machine has and lacks, and what mends it.",
        discussion: """
            Prints a line for each thing that the program can use, and the command that provides what is \
            not there. It changes nothing. "missing" is what `up` and `attach` cannot do without; then \
            the exit status is 69. "optional" is what only some options need, or what makes them faster. \
            Run it as the user that is to run the program.

            EXAMPLES
              For root, and for programs:
                ramdisk-nbd doctor
                ramdisk-nbd doctor --json
            """)

    @Flag(name: .long, help: "Print a JSON object.")
    var json = false

    func run() throws {
        let report = MachineReport(of: Machine())
        if json {
            standardOutput(try jsonLine(report))
        } else {
            let isColoured = wantsColour(
                isTerminal: isatty(STDOUT_FILENO) == 1,
                environment: ProcessInfo.processInfo.environment)
            for line in report.lines { standardOutput(line.text(coloured: isColoured) + "\n") }
        }
        guard report.isReady else { throw ExitCode(Failure.Kind.unavailable.rawValue) }
    }
}
