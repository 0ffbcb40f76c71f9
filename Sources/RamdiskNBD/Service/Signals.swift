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
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sigusr1)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(services: [service], logger: logger.quiet))
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
        _exit(128 + (received == .sigint ? SIGINT : SIGTERM))
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
