internal import ProgramSupport
internal import Observability
internal import ObservabilityClient
internal import ArgumentParser

/// Which requests are wanted.
struct TraceFilterOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Only this command: read, write, flush, trim, write_zeroes, cache, block_status or "
                + "disconnect. Can be given more than once.", valueName: "name"))
    var command: [CommandName] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Only what took at least so long: 100us, 5ms, 1s.", valueName: "time"))
    var minLatency: TimeSpan?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Only this disk; an empty name is the disk without one.", valueName: "name"))
    var export: String?

    @Option(
        name: .long,
        help: ArgumentHelp("Only the connection with this number.", valueName: "number"))
    var connection: UInt64?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Only what touches these bytes of a disk: 0-4095, 1M-2M, or 1M- for all from there on.
            """, valueName: "first-last"))
    var offset: ByteRange?

    @Option(
        name: .long, help: ArgumentHelp("End after so many requests.", valueName: "number"))
    var count: UInt64?

    func validate() throws {
        if count == 0 { throw ValidationError("--count is 0, but has to be at least 1.") }
    }

    var filter: TraceFilter {
        TraceFilter(
            commands: command, minimumNanoseconds: minLatency?.nanoseconds ?? 0, export: export,
            connection: connection, offsets: offset, count: count)
    }
}

/// What becomes of them.
struct TraceOutputOptions: ParsableArguments {
    @Flag(name: .long, help: "One line of JSON for each, as the server sends them.")
    var json = false

    @Flag(
        name: .long,
        help: "No lines; at the end what was done, where on the disk, in what sizes and how fast.")
    var summary = false

    @Option(
        name: [.short, .long],
        help: ArgumentHelp(
            """
            Write it to a file: .iolog for fio --read_iolog, .json for Perfetto, .ndjson, .txt; - is \
            standard output.
            """, valueName: "path"),
        completion: .file())
    var output: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            What to write, whatever the file is called: iolog (fio's, with times), iolog2 (for fio \
            before 3.31, without), chrome (Perfetto), json, text.
            """, valueName: "format"))
    var format: TraceFileFormat?

    @Option(
        name: .long,
        help: ArgumentHelp("End after so long: 10s, 500ms.", valueName: "time"))
    var duration: TimeSpan?

    func validate() throws {
        if json, let format, format != .json {
            throw ValidationError("--json and --format \(format.rawValue) do not go together.")
        }
        if let output, output != "-", format == nil, !json, TraceFileFormat(path: output) == nil {
            throw ValidationError(
                "--output \(output) does not say in what format; end it in .iolog, .json, .ndjson "
                    + "or .txt, or give --format.")
        }
    }

    /// Where lines go; nil when nobody wants lines.
    var path: String? {
        if let output { return output }
        return summary && !json && format == nil ? nil : "-"
    }

    var fileFormat: TraceFileFormat {
        if json { return .json }
        return format ?? output.flatMap(TraceFileFormat.init(path:)) ?? .text
    }
}
