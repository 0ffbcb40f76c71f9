package import NBDServer

/// Whom a server is there for, and so when its work is done.
package enum ServingMode: Sendable {
    /// Whoever connects, until a signal ends it.
    case clients
    /// The one client on standard input and output, until it is done.
    case standardStreams
    /// The clients that a command starts, until it ends.
    case command(CommandRun)

    /// Whether nobody is left whom it is there for.
    package func isDone(by event: ServerEvent) -> Bool {
        guard case .standardStreams = self else { return false }
        switch event {
        case .ended, .rejected, .acceptFailed: return true
        default: return false
        }
    }

    /// The command, if it is there for one.
    package var command: CommandRun? {
        if case .command(let command) = self { command } else { nil }
    }
}
