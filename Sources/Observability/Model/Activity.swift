/// Requests, errors, batches and polling of one connection, or of several put together.
package struct Activity: Codable, Sendable, Equatable {
    /// One entry for each command that came at all, in the order of ``CommandName``.
    package var commands: [CommandActivity] = []
    /// One entry for each error that was answered at all.
    package var errors: [ErrorCount] = []
    package var batches = Batches()
    package var polling = Polling()

    package init(
        commands: [CommandActivity] = [], errors: [ErrorCount] = [], batches: Batches = Batches(),
        polling: Polling = Polling()
    ) {
        self.commands = commands
        self.errors = errors
        self.batches = batches
        self.polling = polling
    }

    /// Requests of every command.
    package var requests: UInt64 { commands.reduce(0) { $0 + $1.requests } }

    /// The entry of a command; an empty one if it never came.
    package func command(_ name: CommandName) -> CommandActivity {
        commands.first { $0.command == name } ?? CommandActivity(command: name)
    }
}

/// A command, by the name it has in JSON, in metrics and in `trace --command`.
package enum CommandName: String, Codable, Sendable, CaseIterable {
    case read, write, disconnect, flush, trim, cache
    case writeZeroes = "write_zeroes"
    case blockStatus = "block_status"
    /// A number that the protocol does not have.
    case unknown
}

/// What one command did.
package struct CommandActivity: Codable, Sendable, Equatable {
    package var command: CommandName
    /// Answered, with or without an error.
    package var requests: UInt64 = 0
    /// Sum of the lengths of those that went well: data for reads and writes, ranges for the rest.
    package var bytes: UInt64 = 0
    /// Answered with an error.
    package var errors: UInt64 = 0
    /// Service time: from the receive that brought the request to the end of the send that took its
    /// reply. Requests of one batch share both moments.
    package var latency = LatencyHistogram()

    package init(
        command: CommandName, requests: UInt64 = 0, bytes: UInt64 = 0, errors: UInt64 = 0,
        latency: LatencyHistogram = LatencyHistogram()
    ) {
        self.command = command
        self.requests = requests
        self.bytes = bytes
        self.errors = errors
        self.latency = latency
    }
}

/// How often one error was answered.
package struct ErrorCount: Codable, Sendable, Equatable {
    /// `EPERM`, `EINVAL`, `ENOSPC`, … as in the specification; `other` for the rest.
    package var error: String
    package var requests: UInt64

    package init(error: String, requests: UInt64) {
        self.error = error
        self.requests = requests
    }
}

/// Batches: the requests whose replies left in one send. Their size is the queue depth that the
/// server has seen.
package struct Batches: Codable, Sendable, Equatable {
    /// Batches there were.
    package var count: UInt64 = 0
    /// Requests in them.
    package var requests: UInt64 = 0
    /// Batches of 1, of up to 2, 4, 8, …: entry i counts those of over 2^(i-1) and up to 2^i requests.
    package var bySize: [UInt64] = []

    package init(count: UInt64 = 0, requests: UInt64 = 0, bySize: [UInt64] = []) {
        self.count = count
        self.requests = requests
        self.bySize = bySize
    }

    /// Requests in a batch on average; 0 when there was none.
    package var average: Double { count == 0 ? 0 : Double(requests) / Double(count) }
}

/// Looking for the next request before sleeping (`--busy-poll`).
package struct Polling: Codable, Sendable, Equatable {
    /// Times that the next request was found while looking.
    package var hits: UInt64 = 0
    /// Times that the thread went to sleep until it came.
    package var sleeps: UInt64 = 0

    package init(hits: UInt64 = 0, sleeps: UInt64 = 0) {
        self.hits = hits
        self.sleeps = sleeps
    }

    /// Part of the waits that needed no sleep, 0 to 1; nil when there was none.
    package var hitRate: Double? {
        hits + sleeps == 0 ? nil : Double(hits) / Double(hits + sleeps)
    }
}
