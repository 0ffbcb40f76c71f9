/// Requests, errors, batches and polling of one connection, or the sum over several.
package struct Activity: Codable, Sendable, Equatable {
    /// One entry for each command that was received at least once, in the order of ``CommandName``.
    package var commands: [CommandActivity] = []
    /// One entry for each error that was sent at least once.
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

    /// Number of requests of all commands.
    package var requests: UInt64 { commands.reduce(0) { $0 &+ $1.requests } }

    /// Returns the entry of a command; an empty one if it was never received.
    package func command(_ name: CommandName) -> CommandActivity {
        commands.first { $0.command == name } ?? CommandActivity(command: name)
    }
}

/// A command, by its name in JSON, in metrics and in `trace --command`.
package enum CommandName: String, Codable, Sendable, CaseIterable {
    case read, write, disconnect, flush, trim, cache
    case writeZeroes = "write_zeroes"
    case blockStatus = "block_status"
    /// A command that the protocol does not define.
    case unknown
}

/// The counters of one command.
package struct CommandActivity: Codable, Sendable, Equatable {
    package var command: CommandName
    /// Requests completed, with or without an error.
    package var requests: UInt64 = 0
    /// Sum of the lengths of the requests that succeeded: data for reads and writes, ranges for the
    /// rest.
    package var bytes: UInt64 = 0
    /// Requests that failed.
    package var errors: UInt64 = 0
    /// Service time: from the receive that returned the request to the end of the send that carried
    /// its reply. Requests of one batch share both moments.
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

/// The number of times that the server sent one error.
package struct ErrorCount: Codable, Sendable, Equatable {
    /// `EPERM`, `EINVAL`, `ENOSPC`, … as in the specification; `other` for the rest.
    package var error: String
    package var requests: UInt64

    package init(error: String, requests: UInt64) {
        self.error = error
        self.requests = requests
    }
}

/// Counters of batches. A batch is the requests whose replies were sent in one call; its size is
/// the queue depth that the server observed.
package struct Batches: Codable, Sendable, Equatable {
    /// Number of batches.
    package var count: UInt64 = 0
    /// Number of requests in all batches.
    package var requests: UInt64 = 0
    /// Batches by size: entry 0 counts those of 1 request, entry i those of more than 2^(i-1) and
    /// up to 2^i requests.
    package var bySize: [UInt64] = []

    package init(count: UInt64 = 0, requests: UInt64 = 0, bySize: [UInt64] = []) {
        self.count = count
        self.requests = requests
        self.bySize = bySize
    }

    /// Mean number of requests in a batch; 0 without batches.
    package var average: Double { count == 0 ? 0 : Double(requests) / Double(count) }
}

/// Counters of busy-polling for the next request before sleeping (`--busy-poll`).
package struct Polling: Codable, Sendable, Equatable {
    /// Waits in which busy-polling received the next request.
    package var hits: UInt64 = 0
    /// Waits in which the thread slept until the next request.
    package var sleeps: UInt64 = 0

    package init(hits: UInt64 = 0, sleeps: UInt64 = 0) {
        self.hits = hits
        self.sleeps = sleeps
    }

    /// Fraction of the waits that needed no sleep, 0 to 1; nil without waits.
    package var hitRate: Double? {
        hits == 0 && sleeps == 0 ? nil : Double(hits) / (Double(hits) + Double(sleeps))
    }
}
