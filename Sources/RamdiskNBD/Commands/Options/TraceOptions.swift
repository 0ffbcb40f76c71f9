internal import ProgramSupport
internal import Observability
internal import ObservabilityClient
internal import ArgumentParser

/// The requests to trace.
struct TraceFilterOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Only this command: read, write, flush, trim, write_zeroes, cache, block_status or "
                + "disconnect. Repeatable.", valueName: "name"))
    var command: [CommandName] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Only requests that took at least this time: 100us, 5ms, 1s.", valueName: "time"),
        transform: Duration.init(parsing:))
    var minLatency: Duration?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Only this disk; an empty name means the disk without a name.", valueName: "name"),
        completion: .export)
    var export: String?

    @Option(
        name: .long,
        help: ArgumentHelp("Only the connection with this id.", valueName: "id"))
    var connection: UInt64?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Only requests that touch these bytes of a disk: 0-4095, 1M-2M, or 1M- for 1M and above.
            """, valueName: "first-last"))
    var offset: ByteRange?

    @Option(
        name: .long, help: ArgumentHelp("End after this many requests.", valueName: "count"))
    var count: UInt64?

    func validate() throws {
        if count == 0 { throw ValidationError("--count is 0, but must be at least 1.") }
    }

    var filter: TraceFilter {
        TraceFilter(
            commands: command,
            minimumNanoseconds: minLatency.map { UInt64($0 / .nanoseconds(1)) } ?? 0,
            export: export,
            connection: connection, offsets: offset, count: count)
    }
}

/// The output of a trace.
struct TraceOutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print one line of JSON per request, as the server sends it.")
    var json = false

    @Flag(
        name: .long,
        help: "Print no lines, but a summary at the end: commands, offsets, sizes and latencies.")
    var summary = false

    @Option(
        name: [.short, .long],
        help: ArgumentHelp(
            """
            Write the trace to a file: .iolog for fio --read_iolog, .json for Perfetto, .ndjson or \
            .txt; - means standard output.
            """, valueName: "path"),
        completion: .file())
    var output: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Format, whatever the name of the file: iolog (for fio, with times), iolog2 (for fio \
            before 3.31, without times), chrome (for Perfetto), json or text.
            """, valueName: "format"))
    var format: TraceFileFormat?

    @Option(
        name: .long,
        help: ArgumentHelp("End after this time: 10s, 500ms.", valueName: "time"),
        transform: Duration.init(parsing:))
    var duration: Duration?

    func validate() throws {
        if json, let format, format != .json {
            throw ValidationError("--json and --format \(format.rawValue): give only one of them.")
        }
        if let output, output != "-", format == nil, !json, TraceFileFormat(path: output) == nil {
            throw ValidationError(
                "--output \(output) has no known ending: use .iolog, .json, .ndjson or .txt, or "
                    + "give --format.")
        }
    }

    /// The destination of the lines; nil when there are none.
    var path: String? {
        if let output { return output }
        return summary && !json && format == nil ? nil : "-"
    }

    var fileFormat: TraceFileFormat {
        if json { return .json }
        return format ?? output.flatMap(TraceFileFormat.init(path:)) ?? .text
    }
}
