internal import LinuxIO
internal import NBDKernel
internal import Synchronization
internal import SystemPackage

/// One read on each queue of a device: when all are finished, the kernel is known to read each connection.
///
/// The driver queues one work item for each connection, which reads replies as long as the connection lives.
/// When the kernel gets no new worker thread within 10 ms, as at boot or without memory, the work queue's single
/// rescuer thread takes all items and runs them one after the other. The first one does not return, so the replies of
/// the other connections are not read, and a request on one of them hangs for the request timeout.
///
/// While the reads run, ``ConnectionRotation`` looks for connections that are not read.
final class ConnectionProof: Sendable {
    /// Milliseconds until a new device is used with those connections that are read by then.
    static let longestStart = 10_000
    /// Milliseconds between two looks at unread replies.
    static let interval = 10

    private let threads: [Thread]
    private let unfinished: Unfinished

    /// Starts reading a page on a processor of each queue, all at the same time. A queue without processors
    /// carries no requests of its own.
    init(of device: String, _ processors: [[Int]]) {
        let firsts = processors.compactMap(\.first)
        let unfinished = Unfinished(firsts.count)
        self.unfinished = unfinished
        threads = firsts.compactMap { processor in
            do throws(Errno) {
                return try Thread(name: "proof") {
                    // On another processor the read would prove another queue, which is no harm.
                    try? Processor.bind(to: [processor])
                    try? BlockDevice.readPage(of: device, at: 0)
                    unfinished.countDown()
                }
            } catch {
                // Without memory for a thread the queue is used unproved.
                unfinished.countDown()
                return nil
            }
        }
    }

    /// Whether all reads are finished or have failed.
    var isOver: Bool { unfinished.isZero }

    /// Waits for the end of the reads; to be called once.
    func join() {
        for thread in threads { thread.join() }
    }

    /// How many reads are not finished.
    private final class Unfinished: Sendable {
        private let count: Atomic<Int>

        init(_ count: Int) { self.count = Atomic(count) }

        var isZero: Bool { count.load(ordering: .acquiring) == 0 }
        func countDown() { count.subtract(1, ordering: .acquiringAndReleasing) }
    }
}

extension NBDDeviceOptions {
    /// The same for as long as connections are proved. A request that does not get its reply in spite of a rotation is
    /// soon sent again; the kernel counts in whole seconds. If the kernel gives up all connections, requests wait
    /// for new ones.
    var whileProved: Self {
        var options = self
        options.requestTimeout = 1
        options.deadConnectionTimeout = max(deadConnectionTimeout, 10)
        return options
    }
}
