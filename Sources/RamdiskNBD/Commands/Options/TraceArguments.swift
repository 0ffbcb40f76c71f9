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

extension TraceFileFormat: ExpressibleByArgument {}
