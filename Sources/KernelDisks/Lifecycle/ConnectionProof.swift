internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import Synchronization
internal import SystemPackage

/// Reads on every queue of a device, which show whether the kernel reads every connection.
///
/// The driver queues one work item for each connection. The item reads replies for as long as the connection
/// lives. When the kernel cannot create a worker thread within 10 ms, as at boot or without memory, the
/// single rescuer thread of the work queue runs all items, one after the other. The first item does not
/// return, so the kernel does not read the replies on the other connections, and a request on one of them
/// hangs until the request timeout.
///
/// While the threads of a `ConnectionProof` read, ``ConnectionRotation`` finds connections that the kernel
/// does not read. The proof is complete when every read has returned.
final class ConnectionProof: Sendable {
    /// Milliseconds to wait for a proof when a device is attached. After that the device is used with the
    /// connections that the kernel reads by then.
    static let longestStart = 10_000
    /// Milliseconds between two checks for unread replies.
    static let interval = 10

    private let threads: [Thread]
    private let unfinished: Unfinished

    /// Starts one thread for each queue. Each thread binds itself to a processor of its queue and reads a
    /// page; all read at the same time. A queue without processors gets no thread, since it carries no
    /// requests of its own.
    init(of device: String, _ processors: [[Int]]) {
        let firsts = processors.compactMap(\.first)
        let unfinished = Unfinished(firsts.count)
        self.unfinished = unfinished
        threads = firsts.compactMap { processor in
            do throws(Errno) {
                return try Thread(name: "proof") {
                    // If binding fails, the read goes over another queue, which does no harm.
                    try? Processor.bind(to: [processor])
                    try? BlockDevice.readPage(of: device, at: 0)
                    unfinished.countDown()
                }
            } catch {
                // Without memory for a thread, this queue is used unproved.
                unfinished.countDown()
                return nil
            }
        }
    }

    /// Whether every read has returned, with or without an error.
    var isOver: Bool { unfinished.isZero }

    /// Joins the reading threads. Call it once.
    func join() {
        for thread in threads { thread.join() }
    }

    /// The number of reads that have not returned. The reading threads decrement it; the polling thread reads
    /// it.
    private final class Unfinished: Sendable {
        private let count: Atomic<Int>

        init(_ count: Int) { self.count = Atomic(count) }

        var isZero: Bool { count.load(ordering: .acquiring) == 0 }
        func countDown() { count.subtract(1, ordering: .acquiringAndReleasing) }
    }
}

extension NBDDeviceOptions {
    /// These options with the short timeouts that apply while connections are proved. The kernel counts
    /// timeouts in whole seconds. When a request gets no reply in spite of a rotation, the kernel sends it
    /// again after one second. When the kernel has given up every connection, requests wait at least 10
    /// seconds for new ones.
    var whileProved: Self {
        var options = self
        options.requestTimeout = 1
        options.deadConnectionTimeout = max(deadConnectionTimeout, 10)
        return options
    }
}
