internal import ProgramSupport
internal import Observability
internal import ObservabilityClient
internal import ArgumentParser

extension CommandName: ExpressibleByArgument {
    /// Accepts a hyphen for an underscore: people type `write-zeroes`.
    init?(argument: String) {
        let name = argument.lowercased().map { $0 == "-" ? "_" : $0 }
        self.init(rawValue: String(name))
    }
}

extension ByteRange: ExpressibleByArgument {
    package init?(argument: String) {
        let parts = argument.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let first = ByteCount(argument: String(parts[0])) else {
            return nil
        }
        self.init(first: first.bytes, last: nil)
        guard !parts[1].isEmpty else { return }
        guard let last = ByteCount(argument: String(parts[1])), last.bytes >= first.bytes else {
            return nil
        }
        self.last = last.bytes
    }
}

extension TraceFileFormat: ExpressibleByArgument {}
