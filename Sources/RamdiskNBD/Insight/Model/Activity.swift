/// Requests, errors, batches and polling of one connection, or of several put together.
struct Activity: Codable, Sendable, Equatable {
    /// One entry for each command that came at all, in the order of ``CommandName``.
    var commands: [CommandActivity] = []
    /// One entry for each error that was answered at all.
    var errors: [ErrorCount] = []
    var batches = Batches()
    var polling = Polling()

    /// Requests of every command.
    var requests: UInt64 { commands.reduce(0) { $0 + $1.requests } }

    /// The entry of a command; an empty one if it never came.
    func command(_ name: CommandName) -> CommandActivity {
        commands.first { $0.command == name } ?? CommandActivity(command: name)
    }
}

/// A command, by the name it has in JSON, in metrics and in `trace --command`.
enum CommandName: String, Codable, Sendable, CaseIterable {
    case read, write, disconnect, flush, trim, cache
    case writeZeroes = "write_zeroes"
    case blockStatus = "block_status"
    /// A number that the protocol does not have.
    case unknown
}

/// What one command did.
struct CommandActivity: Codable, Sendable, Equatable {
    var command: CommandName
    /// Answered, with or without an error.
    var requests: UInt64 = 0
    /// Sum of the lengths of those that went well: data for reads and writes, ranges for the rest.
    var bytes: UInt64 = 0
    /// Answered with an error.
    var errors: UInt64 = 0
    /// Service time: from the receive that brought the request to the end of the send that took its
    /// reply. Requests of one batch share both moments.
    var latency = LatencyHistogram()
}

/// How often one error was answered.
struct ErrorCount: Codable, Sendable, Equatable {
    /// `EPERM`, `EINVAL`, `ENOSPC`, … as in the specification; `other` for the rest.
    var error: String
    var requests: UInt64
}

/// Batches: the requests whose replies left in one send. Their size is the queue depth that the
/// server has seen.
struct Batches: Codable, Sendable, Equatable {
    /// Batches there were.
    var count: UInt64 = 0
    /// Requests in them.
    var requests: UInt64 = 0
    /// Batches of 1, of up to 2, 4, 8, …: entry i counts those of over 2^(i-1) and up to 2^i requests.
    var bySize: [UInt64] = []

    /// Requests in a batch on average; 0 when there was none.
    var average: Double { count == 0 ? 0 : Double(requests) / Double(count) }
}

/// Looking for the next request before sleeping (`--poll-us`).
struct Polling: Codable, Sendable, Equatable {
    /// Times that the next request was found while looking.
    var hits: UInt64 = 0
    /// Times that the thread went to sleep until it came.
    var sleeps: UInt64 = 0

    /// Part of the waits that needed no sleep, 0 to 1; nil when there was none.
    var hitRate: Double? {
        hits + sleeps == 0 ? nil : Double(hits) / Double(hits + sleeps)
    }
}
