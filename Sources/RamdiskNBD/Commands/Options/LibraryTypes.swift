public import ArgumentParser
public import Logging
public import NBDProtocol

// Types of libraries as values of options.

extension Logger.Level: @retroactive ExpressibleByArgument {}

extension TLSPolicy: ExpressibleByArgument {
    public init?(argument: String) {
        guard let policy = Self.allCases.first(where: { $0.argument == argument }) else {
            return nil
        }
        self = policy
    }

    /// The spelling on the command line, which is nbdkit's.
    var argument: String {
        switch self {
        case .off: "off"
        case .on: "on"
        case .required: "require"
        }
    }

    public static var allValueStrings: [String] { allCases.map(\.argument) }

    public var defaultValueDescription: String { argument }
}
