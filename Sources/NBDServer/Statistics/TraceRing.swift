internal import LinuxIO
internal import NBDProtocol

/// A ring of events in a connection's counter memory.
///
/// The connection's thread appends events and waits for no reader: each event overwrites the
/// oldest. Any number of readers follow, each with a position of its own, and detect events that
/// they have missed.
///
/// For each event, the writer
///
/// 1. increments the number of events begun,
/// 2. stores the event's words (release),
/// 3. increments the number of events written (release).
///
/// A reader reads only events below the number written (acquire), so it sees all of their words. It
/// loads the words of an event (acquire), and then the number of events begun. If one of the words
/// belongs to a later event that is overwriting this one, the load of that word acquires what the
/// writer released in step 2. The reader then also sees the increment of step 1, which tells it
/// that the event was overwritten.
struct TraceRing {
    private let words: AtomicWords

    init(words: AtomicWords) { self.words = words }

    /// Number of events written since the connection opened.
    var end: UInt64 { words.load(CounterLayout.ringEnd) }

    /// Appends an event. To be called by the connection's thread only.
    func append(
        receivedAt: UInt64, nanoseconds: UInt64, offset: UInt64, length: UInt64, rest: UInt64
    ) {
        let number = words.loadRelaxed(CounterLayout.ringEnd)
        words.storeRelaxed(CounterLayout.ringBegun, number &+ 1)
        let first = Self.index(of: number)
        words.store(first, receivedAt)
        words.store(first &+ 1, nanoseconds)
        words.store(first &+ 2, offset)
        words.store(first &+ 3, length)
        words.store(first &+ 4, rest)
        words.store(CounterLayout.ringEnd, number &+ 1)
    }

    /// Returns the event of a number below ``end``; nil if it has been, or is just being,
    /// overwritten.
    func event(_ number: UInt64) -> Event? {
        let first = Self.index(of: number)
        let event = Event(
            receivedAt: words.load(first), nanoseconds: words.load(first &+ 1),
            offset: words.load(first &+ 2), length: words.load(first &+ 3),
            rest: words.load(first &+ 4))
        let begun = words.load(CounterLayout.ringBegun)
        return begun &- number <= UInt64(CounterLayout.ringCapacity) ? event : nil
    }

    /// Returns the number of the oldest event in the ring when `end` events have been written.
    static func oldest(before end: UInt64) -> UInt64 {
        end > UInt64(CounterLayout.ringCapacity) ? end - UInt64(CounterLayout.ringCapacity) : 0
    }

    /// The index of an event's first word.
    private static func index(of number: UInt64) -> Int {
        let slot = Int(truncatingIfNeeded: number % UInt64(CounterLayout.ringCapacity))
        return CounterLayout.ring &+ slot &* CounterLayout.wordsOfEvent
    }

    /// An event: one request.
    struct Event {
        /// Time of the receive that brought the request.
        var receivedAt: UInt64
        /// Time from then to the end of the send that took the reply.
        var nanoseconds: UInt64
        /// Offset of the request.
        var offset: UInt64
        /// Length of the request.
        var length: UInt64
        /// Command in the lowest 16 bits, flags in the next 16, error in the upper 32.
        var rest: UInt64

        var command: Command { Command(rawValue: UInt16(truncatingIfNeeded: rest)) }
        var flags: CommandFlags { CommandFlags(rawValue: UInt16(truncatingIfNeeded: rest >> 16)) }
        var error: WireError { WireError(rawValue: UInt32(truncatingIfNeeded: rest >> 32)) }
    }
}
