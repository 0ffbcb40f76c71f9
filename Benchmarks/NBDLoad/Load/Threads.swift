internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// The task of one thread.
protocol Work: Sendable {
    /// Runs the task, and returns its statistics.
    func run() throws(Failure) -> LoadFigures
}

/// Runs all tasks concurrently, and returns the total of their statistics, or throws the first failure.
func runInThreads(_ works: [some Work]) throws(Failure) -> LoadFigures {
    let outcome = Outcome()
    var threads: [Thread] = []
    do throws(Errno) {
        for (index, work) in works.enumerated() {
            threads.append(try Thread(name: "load-\(index)") { outcome.take(work) })
        }
    } catch {
        throw Failure("cannot start a thread: \(error)")
    }
    for thread in threads { thread.join() }
    return try outcome.statistics()
}

/// Collects the results of the threads.
private final class Outcome: Sendable {
    private let state = Mutex<(figures: LoadFigures, failure: Failure?)>((LoadFigures(), nil))

    func take(_ work: some Work) {
        do throws(Failure) {
            let figures = try work.run()
            state.withLock { $0.figures.add(figures) }
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
        }
    }

    /// Returns the total, or throws the first failure.
    func statistics() throws(Failure) -> LoadFigures {
        let (figures, failure) = state.withLock { $0 }
        if let failure { throw failure }
        return figures
    }
}
