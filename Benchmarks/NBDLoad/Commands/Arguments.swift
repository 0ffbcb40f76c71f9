internal import ArgumentParser
internal import NBDProtocol
internal import LinuxIO

/// A number of bytes: `4096`, `128K`, `1M`.
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

/// Processors: `0`, `0,2`, `1-3`.
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

/// What the load consists of.
enum Workload: String, CaseIterable, ExpressibleByArgument {
    case read, write, mixed, trim
}

/// Where every command binds itself.
struct Binding: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Keep to these processors: 1, or 0,2 or 1-3.", valueName: "list"))
    var cpuList: ProcessorList?

    func apply() throws {
        guard let cpuList else { return }
        do {
            try Processor.bind(to: cpuList.processors)
        } catch {
            throw Failure("cannot keep to these processors: \(error)")
        }
    }
}

/// How much is measured, for how long, and how that is told: the same for NBD and for a plain stream.
struct Measuring: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Connections, a thread each.", valueName: "count"))
    var connections = 1

    @Option(name: .long, help: ArgumentHelp("How long to measure.", valueName: "seconds"))
    var seconds = 5.0

    @Option(
        name: .long, help: ArgumentHelp("How long to run before measuring.", valueName: "seconds"))
    var warmup = 1.0

    @Flag(name: .long, help: "Print JSON.")
    var json = false

    var warmupNanoseconds: UInt64 { UInt64(warmup * 1e9) }
    var nanoseconds: UInt64 { UInt64(seconds * 1e9) }

    func validate() throws {
        guard (1...1024).contains(connections) else {
            throw ValidationError("--connections has to be from 1 to 1024.")
        }
        guard (0.001...86_400).contains(seconds) else {
            throw ValidationError("--seconds has to be from 0.001 to 86400.")
        }
        guard (0...86_400).contains(warmup) else {
            throw ValidationError("--warmup has to be from 0 to 86400.")
        }
    }
}

/// The messages of the transmission phase, by name.
enum Replies: String, CaseIterable, ExpressibleByArgument {
    case simple, structured, extended

    var format: HeaderFormat {
        switch self {
        case .simple: .simple
        case .structured: .structured
        case .extended: .extended
        }
    }
}
