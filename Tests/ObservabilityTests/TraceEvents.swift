@testable import ObservabilityClient
@testable import Observability

extension TraceEvent {
    /// Returns a request with defaults for what a test does not name.
    static func some(
        _ command: CommandName = .read, at time: UInt64 = 1_234_567_890, offset: UInt64 = 8192,
        length: UInt64 = 4096, connection: UInt64 = 3, export: String = "",
        duration: UInt64 = 12_345, flags: [String] = [], error: String? = nil
    ) -> TraceEvent {
        TraceEvent(
            timeNanoseconds: time, connection: connection, export: export, command: command,
            offset: offset, lengthBytes: length, flags: flags, durationNanoseconds: duration,
            error: error)
    }
}

extension TraceStart {
    static let some = TraceStart(
        startUnixSeconds: 1_795_000_000, startMonotonicNanoseconds: 5, pid: 4711, version: "0.1.0")
}

extension TraceFormat {
    /// Returns the text of a whole trace with these requests.
    mutating func all(_ events: [TraceEvent]) -> String {
        begin(.some) + events.map { request($0) }.joined() + end()
    }
}
