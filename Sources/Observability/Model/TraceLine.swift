/// One line of a trace: `{"type": "request", …}` and so on.
package enum TraceLine: Sendable, Equatable {
    /// The first line.
    case start(TraceStart)
    /// A request that was answered.
    case request(TraceEvent)
    /// Sent about once a second: how the reader keeps up.
    case status(TraceStatus)
    /// The last line, when as many requests as were wanted have been told.
    case end(TraceStatus)
}

/// When a trace began.
package struct TraceStart: Codable, Sendable, Equatable {
    /// What every time in the trace is counted from, in seconds since 1970.
    package var startUnixSeconds: Double
    /// The same moment on the clock that the kernel's tracer can go by too. clock_gettime(2),
    /// `CLOCK_MONOTONIC`
    package var startMonotonicNanoseconds: UInt64
    /// The server's process number.
    package var pid: Int32
    /// The server's version.
    package var version: String
}

/// A request that was answered.
package struct TraceEvent: Codable, Sendable, Equatable {
    /// When it was received, since the start of the trace.
    package var timeNanoseconds: UInt64
    /// The connection's number.
    package var connection: UInt64
    /// The name of its disk.
    package var export: String
    package var command: CommandName
    /// First byte, counted from the start of the disk.
    package var offset: UInt64
    package var lengthBytes: UInt64
    /// `fua`, `no_hole`, `df`, `payload_len`, `req_one`, `fast_zero`; a number (`0x40`) for others.
    package var flags: [String]
    /// From the receive that brought it to the end of the send that took its reply.
    package var durationNanoseconds: UInt64
    /// `EINVAL` and so on; nil when it went well.
    package var error: String?
}

/// How a trace goes.
package struct TraceStatus: Codable, Sendable, Equatable {
    /// Since the start of the trace.
    package var timeNanoseconds: UInt64
    /// Requests told so far: those that the filter lets pass.
    package var toldRequests: UInt64
    /// Requests that were overwritten before this reader had come to them. It is not known whether
    /// the filter would have let them pass.
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
