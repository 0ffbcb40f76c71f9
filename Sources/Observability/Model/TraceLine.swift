/// One line of a trace: a JSON object whose member `type` names the case.
package enum TraceLine: Sendable, Equatable {
    /// The first line.
    case start(TraceStart)
    /// A request that was completed.
    case request(TraceEvent)
    /// Sent about once a second: whether the reader keeps up.
    case status(TraceStatus)
    /// The last line, after the number of requests that the client asked for.
    case end(TraceStatus)
}

/// The start of a trace.
package struct TraceStart: Codable, Sendable, Equatable {
    /// The start in seconds since 1970. All times in the trace are relative to it.
    package var startUnixSeconds: Double
    /// The same moment on `CLOCK_MONOTONIC` (`clock_gettime(2)`), a clock that the kernel's tracer
    /// can use too.
    package var startMonotonicNanoseconds: UInt64
    /// The server's pid.
    package var pid: Int32
    /// The server's version.
    package var version: String
}

/// A request that was completed.
package struct TraceEvent: Codable, Sendable, Equatable {
    /// When the server received it, relative to the start of the trace.
    package var timeNanoseconds: UInt64
    /// The id of its connection.
    package var connection: UInt64
    /// The name of its export.
    package var export: String
    package var command: CommandName
    /// The first byte, relative to the start of the disk.
    package var offset: UInt64
    package var lengthBytes: UInt64
    /// `fua`, `no_hole`, `df`, `payload_len`, `req_one` or `fast_zero`; the value (`0x40`) for
    /// others.
    package var flags: [String]
    /// Time from the receive that returned it to the end of the send that carried its reply.
    package var durationNanoseconds: UInt64
    /// The name of its error, such as `EINVAL`; nil when it succeeded.
    package var error: String?
}

/// The progress of a trace.
package struct TraceStatus: Codable, Sendable, Equatable {
    /// Time since the start of the trace.
    package var timeNanoseconds: UInt64
    /// Requests sent so far: those that the filter includes.
    package var toldRequests: UInt64
    /// Requests that were overwritten before the server could send them to this reader. Whether the
    /// filter would have included them is not known.
    package var droppedRequests: UInt64
}

extension TraceLine: Codable {
    private enum Key: String, CodingKey { case type }
    private enum Kind: String, Codable { case start, request, status, end }

    package init(from decoder: any Decoder) throws {
        switch try decoder.container(keyedBy: Key.self).decode(Kind.self, forKey: .type) {
        case .start: self = .start(try TraceStart(from: decoder))
        case .request: self = .request(try TraceEvent(from: decoder))
        case .status: self = .status(try TraceStatus(from: decoder))
        case .end: self = .end(try TraceStatus(from: decoder))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Key.self)
        switch self {
        case .start(let start):
            try values.encode(Kind.start, forKey: .type)
            try start.encode(to: encoder)
        case .request(let event):
            try values.encode(Kind.request, forKey: .type)
            try event.encode(to: encoder)
        case .status(let status):
            try values.encode(Kind.status, forKey: .type)
            try status.encode(to: encoder)
        case .end(let status):
            try values.encode(Kind.end, forKey: .type)
            try status.encode(to: encoder)
        }
    }
}
