import NBDServer
import Synchronization

/// Every event so far.
final class EventRecord: Sendable {
    private let events = Mutex<[ServerEvent]>([])

    func record(_ event: ServerEvent) {
        events.withLock { $0.append(event) }
    }

    /// Why connections ended, in that order.
    var ends: [DisconnectReason] {
        events.withLock { events in
            events.compactMap { event in
                if case .ended(let event) = event { event.reason } else { nil }
            }
        }
    }

    /// Waits until a connection has ended, and returns whether one has in time.
    func waitForEnd() -> Bool {
        for _ in 0..<TestClient.patience / 10 where ends.isEmpty { try? pause(milliseconds: 10) }
        return !ends.isEmpty
    }

    /// How many were turned away.
    var refusals: Int {
        events.withLock { events in
            events.count { event in
                if case .rejected = event { true } else { false }
            }
        }
    }
}
