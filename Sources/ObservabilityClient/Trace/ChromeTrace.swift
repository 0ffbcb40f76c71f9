internal import Observability
internal import FoundationEssentials

/// Chrome's trace events ("Trace Event Format", JSON Array Format).
///
/// Slices of one thread may not overlap in this format, but requests of one connection do. So a
/// connection becomes as many threads, called lanes here, as it had requests in flight at once.
///
/// Numbers are written directly, since this runs for each request; texts go through `JSONEncoder`.
struct ChromeTrace: TraceFormat {
    /// Maximum number of lanes of a connection. NBD clients have at most this many requests in
    /// flight.
    private static let laneLimit = 1024

    private var process: Int32 = 0
    /// For each connection, the time in nanoseconds at which each of its lanes becomes free.
    private var lanes: [UInt64: [UInt64]] = [:]
    private let encoder = JSONEncoder()

    mutating func begin(_ start: TraceStart) -> String {
        process = start.pid
        let name = json("ramdisk-nbd \(start.version)")
        return "[\n"
            + #"{"ph":"M","name":"process_name","pid":\#(process),"args":{"name":\#(name)}}"#
    }

    mutating func request(_ event: TraceEvent) -> String {
        let end = event.timeNanoseconds &+ event.durationNanoseconds
        var text = ""
        let lane = occupyLane(event, until: end, announcement: &text)
        var arguments = #""offset":\#(event.offset),"length":\#(event.lengthBytes)"#
        if !event.flags.isEmpty {
            arguments += #","flags":\#(json(event.flags))"#
        }
        if let error = event.error { arguments += #","error":\#(json(error))"# }
        return text
            + #",\#n{"ph":"X","cat":"nbd","name":"\#(event.command.rawValue)","pid":\#(process),"#
            + #""tid":\#(lane),"ts":\#(Self.microseconds(event.timeNanoseconds)),"#
            + #""dur":\#(Self.microseconds(event.durationNanoseconds)),"args":{\#(arguments)}}"#
    }

    mutating func lost(_ count: UInt64, at nanoseconds: UInt64) -> String {
        #",\#n{"ph":"i","s":"g","cat":"nbd","name":"lost \#(count) requests","pid":\#(process),"#
            + #""tid":0,"ts":\#(Self.microseconds(nanoseconds))}"#
    }

    mutating func end() -> String { "\n]\n" }

    /// Occupies the first lane of the event's connection that is free when the request is received,
    /// and returns the number of its thread. Sets `announcement` to the events that name a new
    /// lane.
    private mutating func occupyLane(
        _ event: TraceEvent, until end: UInt64, announcement: inout String
    ) -> UInt64 {
        var ends = lanes[event.connection, default: []]
        let free = ends.firstIndex { $0 <= event.timeNanoseconds }
        let index = free ?? min(ends.count, Self.laneLimit - 1)
        let number = event.connection &* UInt64(Self.laneLimit) &+ UInt64(index)
        if index == ends.count {
            ends.append(end)
            let disk = event.export.isEmpty ? "" : " [\(event.export)]"
            let name = json("connection \(event.connection)\(disk)")
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

    /// Returns a time in microseconds, with three decimals.
    private static func microseconds(_ nanoseconds: UInt64) -> String {
        let rest = String(nanoseconds % 1000)
        return "\(nanoseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }

    /// Returns the JSON of a string or an array of strings, which `JSONEncoder` can always encode.
    private func json(_ value: some Encodable) -> String {
        (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "null"
    }
}
