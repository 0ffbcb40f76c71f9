package import ProgramSupport
internal import LinuxIO
internal import SystemPackage

/// Binds the calling thread, and those it makes: the server takes its memory and its clients in there.
package enum Placement {
    /// Keeps to these processors; to none in particular when the list is empty.
    package static func begin(on processors: [Int]) throws(Failure) {
        guard !processors.isEmpty else { return }
        for processor in processors { try bind([processor], naming: processor) }
        try bind(processors, naming: processors[0])
    }

    private static func bind(_ processors: [Int], naming processor: Int) throws(Failure) {
        do throws(Errno) {
            try Processor.bind(to: processors)
        } catch {
            throw .usage(
                "--cpu-list names processor \(processor), which this machine has not, or does not "
                    + "let this program use")
        }
    }
}
