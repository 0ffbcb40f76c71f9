internal import LinuxIO

/// Finds connections that the kernel does not read, and chooses the connections that must end so that it
/// does.
///
/// The rescuer thread of the driver's work queue reads one connection until that connection ends. The
/// connections that the kernel adopted later wait behind it (see ``ConnectionProof``). Replies that stay
/// unread show this state. When every connection before the last unread one is shut down for sending, each of
/// them ends after its last reply. The rescuer then passes through them within milliseconds and stays with
/// the last unread connection. Connections adopted after that one, which have no unread replies, either have
/// a worker thread of their own or carry no requests.
///
/// Only the sending direction may be shut down. The server then sees the end of the requests, replies to
/// those that it has received completely, and closes the connection. The kernel reads these replies, so no
/// request waits for its timeout. The kernel sends a request that it could not send on one connection over
/// another at once.
struct ConnectionRotation {
    /// The state of one live connection at one moment.
    struct Sample {
        /// The position of the connection in the order in which the kernel has adopted them: a smaller value
        /// was adopted earlier.
        let adoptionOrder: Int
        /// Bytes of replies that the kernel has not read.
        let unreadBytes: Int
    }

    private struct Backlog {
        var bytes: Int
        var since: MonotonicTime
    }

    /// Milliseconds after which a connection whose unread replies have not shrunk counts as unread. Under
    /// load, a kernel thread may wait that long for a processor.
    static let unreadTimeLimit = 150

    private var backlogs: [Int: Backlog] = [:]

    /// Compares the live connections with the previous samples.
    ///
    /// Returns the adoption order of each connection to shut down for sending. The set is empty as long as
    /// the kernel reads every connection.
    mutating func connectionsToEnd(_ samples: [Sample], at now: MonotonicTime) -> Set<Int> {
        var current: [Int: Backlog] = [:]
        for sample in samples where sample.unreadBytes > 0 {
            var backlog = Backlog(bytes: sample.unreadBytes, since: now)
            // Fewer bytes than before: the kernel reads this connection.
            if let last = backlogs[sample.adoptionOrder], last.bytes <= sample.unreadBytes {
                backlog.since = last.since
            }
            current[sample.adoptionOrder] = backlog
        }
        backlogs = current
        let isStuck = current.values.contains {
            $0.since.adding(milliseconds: Self.unreadTimeLimit) <= now
        }
        guard isStuck, let last = current.keys.max() else { return [] }
        let ending = samples.map(\.adoptionOrder).filter { $0 < last }
        // Each remaining connection gets the whole time limit again.
        if !ending.isEmpty { backlogs = [:] }
        return Set(ending)
    }

    /// Returns the milliseconds to wait after `count` consecutive rotations before the kernel is offered new
    /// connections. The kernel needs this time to create threads that read them.
    static func pause(after count: Int) -> Int { min(100 << min(count - 1, 10), 10_000) }
}
