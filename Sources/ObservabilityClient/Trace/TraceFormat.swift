package import Observability

/// Turns a trace into text, a piece at a time.
package protocol TraceFormat: Sendable {
    /// What comes before the first request.
    mutating func begin(_ start: TraceStart) -> String
    /// What a request becomes; empty when the format has nothing for it.
    mutating func request(_ event: TraceEvent) -> String
    /// What is told when requests were lost since the last time.
    mutating func lost(_ count: UInt64, at nanoseconds: UInt64) -> String
    /// What comes after the last.
    mutating func end() -> String
    /// How many requests the format has no words for.
    var leftOut: UInt64 { get }
}

extension TraceFormat {
    package var leftOut: UInt64 { 0 }
}
