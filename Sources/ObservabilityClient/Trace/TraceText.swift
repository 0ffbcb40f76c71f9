internal import ProgramSupport
internal import Observability

/// A line for each request: time, connection, command, offset, length, duration, flags, error,
/// disk.
struct TraceText: TraceFormat {
    /// Whether lines have colour codes for a terminal.
    var isColoured = false

    mutating func begin(_ start: TraceStart) -> String {
        line { line in
            line.add(
                "TIME".right(13) + "CONN".right(6) + "  " + "COMMAND".left(12)
                    + "OFFSET".right(14) + "LENGTH".right(9) + "DURATION".right(11)
                    + "  FLAGS, ERROR, [DISK]", .dim)
        }
    }

    mutating func request(_ event: TraceEvent) -> String {
        line { line in
            line.add(Units.fixed(Double(event.timeNanoseconds) / 1e9, decimals: 6).right(13), .dim)
            line.add("#\(event.connection)".right(6) + "  ")
            line.add(event.command.rawValue.left(12), event.command.style)
            if event.command.hasRange {
                line.add("\(event.offset)".right(14))
                line.add(Units.exactBytes(event.lengthBytes).right(9))
            } else {
                line.pad(to: 56)
            }
            let duration = Units.duration(nanoseconds: Double(event.durationNanoseconds))
            line.add(duration.right(11), event.durationNanoseconds >= 1_000_000 ? .yellow : .plain)
            if !event.flags.isEmpty { line.add("  " + event.flags.joined(separator: ",")) }
            if let error = event.error { line.add("  \(error)", .red) }
            if !event.export.isEmpty { line.add("  [\(event.export)]", .dim) }
        }
    }

    mutating func lost(_ count: UInt64, at nanoseconds: UInt64) -> String {
        line { line in
            line.add(Units.fixed(Double(nanoseconds) / 1e9, decimals: 6).right(13), .dim)
            line.add("  lost \(count) requests: they arrived faster than they could be read", .red)
        }
    }

    mutating func end() -> String { "" }

    private func line(_ build: (inout StyledLine) -> Void) -> String {
        var line = StyledLine()
        build(&line)
        return line.text(coloured: isColoured) + "\n"
    }
}

extension CommandName {
    /// The colour of the command in all views.
    var style: TextStyle {
        switch self {
        case .read: .cyan
        case .write: .magenta
        case .trim, .writeZeroes: .blue
        case .flush: .yellow
        case .disconnect, .cache, .blockStatus: .plain
        case .unknown: .red
        }
    }

    /// Whether its requests have an offset and a length.
    var hasRange: Bool { self != .flush && self != .disconnect }
}
