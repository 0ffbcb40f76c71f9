public import ArgumentParser
public import NBDProtocol
internal import LinuxIO

/// A size in bytes: `4096`, `128K`, `1M`.
struct ByteCount: ExpressibleByArgument {
    var bytes: Int

    init(_ bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        let shifts: [Character: Int] = ["K": 10, "M": 20, "G": 30, "T": 40]
        let shift = argument.last.flatMap { shifts[Character($0.uppercased())] }
        let digits = shift == nil ? argument[...] : argument.dropLast()
        guard !digits.isEmpty, digits.allSatisfy({ "0" <= $0 && $0 <= "9" }),
            let number = Int(digits), number <= Int.max >> (shift ?? 0)
        else { return nil }
        bytes = number << (shift ?? 0)
    }

    var defaultValueDescription: String {
        bytes > 0 && bytes.isMultiple(of: 1024) ? "\(bytes / 1024)K" : "\(bytes)"
    }
}

/// A list of processors: `0`, `0,2`, `1-3`.
struct ProcessorList: ExpressibleByArgument {
    var processors: [Int] = []

    init?(argument: String) {
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            let bounds = part.split(separator: "-", omittingEmptySubsequences: false).map {
                Int($0)
            }
            guard bounds.count <= 2, let first = bounds[0], let last = bounds[bounds.count - 1],
                first >= 0, last >= first, last < Processor.maximumCount
            else { return nil }
            processors += first...last
        }
    }
}

/// The type of requests in a load.
enum Workload: String, CaseIterable, ExpressibleByArgument {
    case read, write, mixed, trim
}

/// The option that binds a command to processors.
struct Binding: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Run on these processors only: 1, or 0,2 or 1-3.", valueName: "list"))
    var cpuList: ProcessorList?

    func apply() throws {
        guard let cpuList else { return }
        do {
            try Processor.bind(to: cpuList.processors)
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
