internal import NBDServer

/// The clients that a server exists for, which decides when it ends.
package enum ServingMode: Sendable {
    /// All clients, until a signal stops the server.
    case clients
    /// The client on standard input and output, until it disconnects.
    case standardStreams
    /// The clients that a command starts, until it ends.
    case command(CommandRun)

    /// Returns whether the server has no reason to run after this event.
    func isDone(by event: ServerEvent) -> Bool {
        guard case .standardStreams = self else { return false }
        switch event {
        case .ended, .rejected, .acceptFailed: return true
        default: return false
        }
    }

    /// The command, if there is one.
    var command: CommandRun? {
        if case .command(let command) = self { command } else { nil }
    }
}
