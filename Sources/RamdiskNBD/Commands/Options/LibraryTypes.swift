public import ArgumentParser
public import Logging
public import NBDProtocol
internal import ProgramSupport

// Types of libraries as values of options.

extension Logger.Level: @retroactive ExpressibleByArgument {}

extension TLSPolicy: ExpressibleByArgument {
    /// Parses `off`, `on` or `require`.
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

    /// The values that help lists.
    public static var allValueStrings: [String] { allCases.map(\.argument) }

    /// None. Without this, help lists each value again as its description.
    public static var allValueDescriptions: [String: String] { [:] }

    /// The spelling on the command line.
    public var defaultValueDescription: String { argument }
}

extension ListenAddress: ExpressibleByArgument {
    package init?(argument: String) { self.init(parsing: argument) }

    package var defaultValueDescription: String { description }
}

extension AbsolutePath: ExpressibleByArgument {
    package init?(argument: String) { self.init(parsing: argument) }
}

extension ByteRange: ExpressibleByArgument {
    package init?(argument: String) { self.init(parsing: argument) }
}

extension ProcessorList: ExpressibleByArgument {
    package init?(argument: String) { self.init(parsing: argument) }
}
