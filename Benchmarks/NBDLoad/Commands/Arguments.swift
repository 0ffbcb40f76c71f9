public import ArgumentParser
public import NBDProtocol
internal import LinuxIO
internal import ProgramSupport

extension ByteCount: ExpressibleByArgument {
    package init?(argument: String) {
        guard let count = try? ByteCount(parsing: argument) else { return nil }
        self = count
    }

    package var defaultValueDescription: String { Units.exactBytes(bytes) }

    /// The number of bytes, or the largest `Int`.
    var count: Int { Int(clamping: bytes) }
}

extension ProcessorList: ExpressibleByArgument {
    package init?(argument: String) { self.init(parsing: argument) }
}

extension Workload: ExpressibleByArgument {}

/// The option that binds a command to processors.
struct Binding: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Run on these processors only: 1, or 0,2 or 1-3.", valueName: "list"))
    var cpuList: ProcessorList?

    func apply() throws {
        guard let cpuList else { return }
        do {
            try Processor.bind(to: cpuList.numbers)
        } catch {
            throw Failure("cannot bind to the processors of --cpu-list: \(error)")
        }
    }
}

/// The options of a measurement, which NBD loads and plain streams share.
struct Measuring: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Number of connections, each with a thread.", valueName: "count"))
    var connections = 1

    @Option(name: .long, help: ArgumentHelp("Duration of the measurement.", valueName: "seconds"))
    var seconds = 5.0

    @Option(
        name: .long, help: ArgumentHelp("Duration of the warm-up before it.", valueName: "seconds"))
    var warmup = 1.0

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    var warmupNanoseconds: UInt64 { UInt64(warmup * 1e9) }
    var nanoseconds: UInt64 { UInt64(seconds * 1e9) }

    func validate() throws {
        guard (1...1024).contains(connections) else {
            throw ValidationError("--connections must be from 1 to 1024, not \(connections).")
        }
        guard (0.001...86_400).contains(seconds) else {
            throw ValidationError("--seconds must be from 0.001 to 86400, not \(seconds).")
        }
        guard (0...86_400).contains(warmup) else {
            throw ValidationError("--warmup must be from 0 to 86400, not \(warmup).")
        }
    }
}

/// The value of `--replies`: `simple`, `structured` or `extended`.
extension HeaderFormat: ExpressibleByArgument {
    /// Finds a format by its name.
    public init?(argument: String) {
        guard let format = Self.allCases.first(where: { "\($0)" == argument }) else { return nil }
        self = format
    }

    /// The names of all formats.
    public static var allValueStrings: [String] { allCases.map { "\($0)" } }
}
