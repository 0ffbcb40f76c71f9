internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import MachineCheck
internal import ProgramSupport

/// `ramdisk-nbd doctor`.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Report what this machine has and lacks, and how to fix it.",
        discussion: """
            Prints a line for each feature of the machine that the program can use, and for each \
            absent one the command that provides it. Changes nothing. "missing" marks what `up` \
            and `attach` require; the exit status is then 69. "optional" marks what only some \
            options need, or what makes them faster. Run it as the user that is to run the \
            program.

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
