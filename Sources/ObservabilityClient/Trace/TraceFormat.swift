internal import Observability

/// A format of text that a trace is written in, piece by piece.
protocol TraceFormat: Sendable {
    /// Returns the text before the first request.
    mutating func begin(_ start: TraceStart) -> String
    /// Returns the text of a request; empty when the format cannot express it.
    mutating func request(_ event: TraceEvent) -> String
    /// Returns the text for requests that were lost since the previous call.
    mutating func lost(_ count: UInt64, at nanoseconds: UInt64) -> String
    /// Returns the text after the last request.
    mutating func end() -> String
    /// Number of requests that the format could not express.
    var omitted: UInt64 { get }
}

extension TraceFormat {
    var omitted: UInt64 { 0 }
}
