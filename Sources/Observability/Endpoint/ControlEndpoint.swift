package import ProgramSupport
internal import Glibc
internal import LinuxHost
package import LinuxIO
package import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization
internal import SystemPackage

/// Takes in those who ask, and has them answered. As long as nobody does, it is one thread that
/// sleeps: neither the HTTP library nor Swift's tasks have a thread or memory before somebody connects.
package final class ControlEndpoint: Sendable {
    /// Connections to the control socket at a time, and as many again to the metrics' addresses, so that
    /// clients of the one cannot keep those of the other out. More are closed at once.
    private static let limit = 256

    private let listeners: [Listener]
    /// How many of them, from the first on, are control sockets.
    private let controlCount: Int
    private let watched: MonitoredServer
    private let logger: Logger
    private let wakeUp: EventFD
    private let thread = Mutex<Thread?>(nil)
    /// Everybody who asked has been let go.
    private let answered: OneShotEvent
    private let isStopped = Atomic<Bool>(false)
    private let open = Atomic<Int>(0)
    private let openForMetrics = Atomic<Int>(0)

    /// Somebody who asks.
    private final class Asker: Sendable {
        private let socket: Mutex<StreamSocket?>
        package let isMetricsOnly: Bool

        package init(_ socket: consuming StreamSocket, isMetricsOnly: Bool) {
            self.socket = Mutex(socket)
            self.isMetricsOnly = isMetricsOnly
        }

        package func take() -> StreamSocket? { socket.withLock { $0.take() } }
    }

    package init(
        control: Listener?, metrics: [Listener], watched: MonitoredServer, logger: Logger
    ) throws(Failure) {
        listeners = (control.map { [$0] } ?? []) + metrics
        controlCount = control == nil ? 0 : 1
        self.watched = watched
        self.logger = logger
        do throws(Errno) {
            wakeUp = try EventFD()
            answered = try OneShotEvent()
        } catch {
            throw .system("cannot make the control socket's wake-up: \(error)")
        }
    }

    /// Answers until ``stop()``.
    package func start() throws(Failure) {
        guard !listeners.isEmpty else { return }
        do throws(Errno) {
            let started = try Thread(name: "control") { self.accept() }
            thread.withLock { $0 = started }
        } catch {
            throw .system("cannot start a thread for the control socket: \(error)")
        }
    }

    /// Lets everybody go, and comes back when they are gone.
    package func stop() {
        isStopped.store(true, ordering: .releasing)
        wakeUp.signal()
        thread.withLock { $0.take() }?.join()
    }

    private func answer(_ askers: AsyncStream<Asker>) async {
        var group: MultiThreadedEventLoopGroup?
        await withDiscardingTaskGroup { tasks in
            for await asker in askers {
                guard let socket = asker.take() else { continue }
                let loops = group ?? MultiThreadedEventLoopGroup(numberOfThreads: 1)
                group = loops
                let conversation = ControlConversation(
                    watched: watched, isMetricsOnly: asker.isMetricsOnly)
                let box = Mutex(Optional(socket))
                tasks.addTask {
                    if let socket = box.withLock({ $0.take() }) {
                        await conversation.run(socket, on: loops.next())
                    }
                    self.givePlaceBack(isMetricsOnly: asker.isMetricsOnly)
                }
            }
            tasks.cancelAll()
        }
        try? await group?.shutdownGracefully()
    }

    // MARK: - On its thread

    private func accept() {
        var inbox: AsyncStream<Asker>.Continuation?
        while !isStopped.load(ordering: .acquiring) {
            do throws(Errno) {
                let ready = try Listener.poll(listeners, or: wakeUp)
                wakeUp.clear()
                for index in ready {
                    guard let asker = try admit(index) else { continue }
                    if inbox == nil { inbox = beginAnswering() }
                    inbox?.yield(asker)
                }
            } catch {
                // Want of descriptors or memory: there may be some again soon.
                if error != .wouldBlock, error != .connectionAbort {
                    Thread.sleep(milliseconds: 100)
                }
            }
        }
        guard let inbox else { return }
        inbox.finish()
        answered.wait()
    }

    /// Starts the task that answers, for the first one who asks.
    private func beginAnswering() -> AsyncStream<Asker>.Continuation {
        let (askers, inbox) = AsyncStream.makeStream(of: Asker.self)
        Task.detached {
            await self.answer(askers)
            self.answered.signal()
        }
        return inbox
    }

    /// Somebody who may ask; nil for who may not, or not now.
    private func admit(_ index: Int) throws(Errno) -> Asker? {
        let socket = try listeners[index].accept()
        let isMetricsOnly = index >= controlCount
        if !isMetricsOnly, !Self.isOurs(try socket.peer()) { return nil }
        guard takePlace(isMetricsOnly: isMetricsOnly) else { return nil }
        return Asker(socket, isMetricsOnly: isMetricsOnly)
    }

    /// Counts one more connection of a kind; false when there are too many. Only this thread adds.
    private func takePlace(isMetricsOnly: Bool) -> Bool {
        if isMetricsOnly {
            guard openForMetrics.load(ordering: .relaxed) < Self.limit else { return false }
            openForMetrics.wrappingAdd(1, ordering: .relaxed)
        } else {
            guard open.load(ordering: .relaxed) < Self.limit else { return false }
            open.wrappingAdd(1, ordering: .relaxed)
        }
        return true
    }

    private func givePlaceBack(isMetricsOnly: Bool) {
        if isMetricsOnly {
            openForMetrics.wrappingSubtract(1, ordering: .relaxed)
        } else {
            open.wrappingSubtract(1, ordering: .relaxed)
        }
    }

    /// The file's mode lets in nobody but its owner and root. Whoever got in all the same, by a mode
    /// that was changed or a descriptor that was handed on, is refused here.
    private static func isOurs(_ peer: Peer) -> Bool {
        guard case .process(let credentials) = peer else { return false }
        return credentials.uid == geteuid() || credentials.uid == 0
    }
}
