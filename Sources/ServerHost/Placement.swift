internal import ProgramSupport
internal import LinuxIO
internal import SystemPackage

/// Binds the calling thread, and the threads that it creates, to CPUs. Memory is allocated there too.
enum Placement {
    /// Binds to these CPUs; to none in particular when the list is empty. Throws if one does not exist.
    static func begin(on processors: [Int]) throws(Failure) {
        guard !processors.isEmpty else { return }
        for processor in processors { try bind([processor], naming: processor) }
        try bind(processors, naming: processors[0])
    }

    private static func bind(_ processors: [Int], naming processor: Int) throws(Failure) {
        do throws(Errno) {
            try Processor.bind(to: processors)
        } catch {
            throw .usage(
                "--cpu-list: CPU \(processor) does not exist, or is not available to this process")
        }
    }
}
