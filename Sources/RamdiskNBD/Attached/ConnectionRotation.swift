internal import LinuxIO

/// Finds connections that the kernel does not read, and says which others have to end so that it does.
///
/// The rescuer thread of the driver's work queue reads one connection until that one ends, and connections that the
/// kernel has taken later wait behind it (see ``ConnectionProof``). Replies that stay unread show that. When every
/// connection before the last unread one is shut down for sending, each of them ends after its last reply, the
/// rescuer goes through them within milliseconds, and it stays with the unread one. Later ones, without anything
/// unread, either have a thread of their own or carry no requests.
///
/// Only the sending direction may be shut down. The server then sees the end of the requests, answers those it has
/// received whole, and closes. The kernel reads these replies, so that no request waits for its timeout; a request
/// that it could not send goes to another connection at once.
struct ConnectionRotation {
    /// A connection that the kernel uses, at one moment.
    struct Sample {
        /// The connection. The kernel has taken one with a smaller number earlier.
        let number: Int
        /// Bytes of replies that the kernel has not read yet.
        let unreadBytes: Int
    }

    private struct Backlog {
        var bytes: Int
        var since: MonotonicTime
    }

    /// Milliseconds after which a connection with unread replies counts as one that is not read. Under load a
    /// thread of the kernel may have to wait for a processor for a while.
    static let patience = 150

    private var backlogs: [Int: Backlog] = [:]

    /// Takes a look at all connections that the kernel uses. Returns the numbers of those to shut down for sending:
    /// none as long as all are read.
    mutating func connectionsToEnd(_ samples: [Sample], at now: MonotonicTime) -> Set<Int> {
        var current: [Int: Backlog] = [:]
        for sample in samples where sample.unreadBytes > 0 {
            var backlog = Backlog(bytes: sample.unreadBytes, since: now)
            // Fewer bytes than before: somebody reads.
            if let last = backlogs[sample.number], last.bytes <= sample.unreadBytes {
                backlog.since = last.since
            }
            current[sample.number] = backlog
        }
        backlogs = current
        let isStuck = current.values.contains {
            $0.since.adding(milliseconds: Self.patience) <= now
        }
        guard isStuck, let last = current.keys.max() else { return [] }
        let ending = samples.map(\.number).filter { $0 < last }
        // The others get the same time again.
        if !ending.isEmpty { backlogs = [:] }
        return Set(ending)
    }

    /// Milliseconds to wait, after so many rotations in a row, before the kernel is offered new connections: it needs
    /// time to make threads that read them.
    static func pause(after count: Int) -> Int { min(100 << min(count - 1, 10), 10_000) }
}
