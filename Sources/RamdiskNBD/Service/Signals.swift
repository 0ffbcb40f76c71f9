// What signals do: stop, stop at once, tell figures.

internal import Glibc
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals

extension DiskService {
    /// Runs the service until it ends by itself or a signal ends it.
    static func run(_ service: DiskService, logger: Logger) async throws {
        // A reader of our output that goes away must not take the disk with it.
        signal(SIGPIPE, SIG_IGN)
        let signals =
            service.configuration.purpose.command == nil
            ? await UnixSignalsSequence(trapping: .sigterm, .sigint, .sigusr1)
            : await UnixSignalsSequence(
                trapping: .sigterm, .sigint, .sigusr1, .sighup, .sigquit)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                // It may be done by itself.
                services: [
                    .init(
                        service: service, successTerminationBehavior: .gracefullyShutdownGroup)
                ],
                logger: logger.quiet))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask { await service.obey(signals, group) }
            try await tasks.next()
            tasks.cancelAll()
        }
    }

    private func obey(_ signals: UnixSignalsSequence, _ group: ServiceGroup) async {
        var isStopping = false
        for await received in signals {
            if received == .sigusr1 {
                logFigures()
            } else if let command = configuration.purpose.command {
                // Its end is ours. Before its start there is nothing to be ended in order.
                if !command.forward(received.rawValue) { endAtOnce(received) }
            } else if !isServing {
                // Still taking memory, which can last for a large disk: nothing has to be finished.
                removeFiles()
                _exit(0)
            } else if isStopping {
                endAtOnce(received)
            } else {
                isStopping = true
                await group.triggerGracefulShutdown()
            }
        }
    }

    /// The second signal: nothing is finished any more.
    private func endAtOnce(_ received: UnixSignal) {
        removeFiles()
        _exit(128 + received.rawValue)
    }
}

extension UnixSignal {
    /// The kernel's number for it.
    fileprivate var rawValue: Int32 {
        switch self {
        case .sigint: SIGINT
        case .sighup: SIGHUP
        case .sigquit: SIGQUIT
        default: SIGTERM
        }
    }
}

extension Logger {
    /// The same, without a library's own notes.
    fileprivate var quiet: Logger {
        var copy = self
        copy.logLevel = max(logLevel, .warning)
        return copy
    }
}
