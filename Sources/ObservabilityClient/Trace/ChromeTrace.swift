package import Observability

/// An array of events ("Trace Event Format", JSON Array Format). A connection is a thread there. Slices
/// of one thread may not overlap, and requests of one connection do; so it has as many threads
/// as it had requests at the same time.
package struct ChromeTrace: TraceFormat {

    package init() {
    }
    /// Lanes that a connection can have; NBD clients have up to this many requests in flight.
    private static let laneLimit = 1024

    private var process: Int32 = 0
    /// Until when each lane of a connection is taken, in nanoseconds.
    private var lanes: [UInt64: [UInt64]] = [:]

    package mutating func begin(_ start: TraceStart) -> String {
        process = start.pid
        let name = JSONText.quoted("ramdisk-nbd \(start.version)")
        return "[\n"
            + #"{"ph":"M","name":"process_name","pid":\#(process),"args":{"name":\#(name)}}"#
    }

    package mutating func request(_ event: TraceEvent) -> String {
        let end = event.timeNanoseconds &+ event.durationNanoseconds
        var text = ""
        let lane = takeLane(event, until: end, announcement: &text)
        var arguments = #""offset":\#(event.offset),"length":\#(event.lengthBytes)"#
        if !event.flags.isEmpty {
            let flags = event.flags.map(JSONText.quoted).joined(separator: ",")
            arguments += #","flags":[\#(flags)]"#
        }
        if let error = event.error { arguments += #","error":\#(JSONText.quoted(error))"# }
        return text
            + #",\#n{"ph":"X","cat":"nbd","name":"\#(event.command.rawValue)","pid":\#(process),"#
            + #""tid":\#(lane),"ts":\#(Self.microseconds(event.timeNanoseconds)),"#
            + #""dur":\#(Self.microseconds(event.durationNanoseconds)),"args":{\#(arguments)}}"#
    }

    package mutating func lost(_ count: UInt64, at nanoseconds: UInt64) -> String {
        #",\#n{"ph":"i","s":"g","cat":"nbd","name":"lost \#(count) requests","pid":\#(process),"#
            + #""tid":0,"ts":\#(Self.microseconds(nanoseconds))}"#
    }

    package mutating func end() -> String { "\n]\n" }

    /// The first lane of its connection that is free at that time, as a thread's number.
    private mutating func takeLane(
        _ event: TraceEvent, until end: UInt64, announcement: inout String
    ) -> UInt64 {
        var ends = lanes[event.connection, default: []]
        let free = ends.firstIndex { $0 <= event.timeNanoseconds }
        let index = free ?? min(ends.count, Self.laneLimit - 1)
        let number = event.connection * UInt64(Self.laneLimit) + UInt64(index)
        if index == ends.count {
            ends.append(end)
            let disk = event.export.isEmpty ? "" : " [\(event.export)]"
            let name = JSONText.quoted("connection \(event.connection)\(disk)")
            let head = #",\#n{"ph":"M","pid":\#(process),"tid":\#(number),"name":"#
            announcement =
                head + #""thread_name","args":{"name":\#(name)}}"#
                + head + #""thread_sort_index","args":{"sort_index":\#(number)}}"#
        } else {
            ends[index] = max(ends[index], end)
        }
        lanes[event.connection] = ends
        return number
    }

    /// Microseconds, to the nanosecond.
    private static func microseconds(_ nanoseconds: UInt64) -> String {
        let rest = String(nanoseconds % 1000)
        return "\(nanoseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }
}

/// Text as JSON has it.
package enum JSONText {
    /// In quotes, with what must not be in them escaped. RFC 8259, 7
    package static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case let control where control.value < 0x20:
                let digits = String(control.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
