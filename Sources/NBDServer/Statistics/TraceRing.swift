internal import LinuxIO
internal import NBDProtocol

/// A ring of events in a connection's insight memory. One thread writes and waits for nobody: the
/// oldest event is overwritten. Any number of readers follow, each with a position of its own, and
/// find out by themselves what they have missed.
struct TraceRing {
    private let words: AtomicWords

    init(words: AtomicWords) { self.words = words }

    /// Events written since the connection opened.
    var end: UInt64 { words.load(CounterLayout.ringWhole) }

    /// Writes an event over the oldest. Only the connection's thread may.
    func append(
        receivedAt: UInt64, nanoseconds: UInt64, offset: UInt64, length: UInt64, rest: UInt64
    ) {
        let number = words.loadRelaxed(CounterLayout.ringWhole)
        // A reader that sees any of the words below also sees that this event had been begun.
        words.storeRelaxed(CounterLayout.ringClaimed, number &+ 1)
        let place = Self.place(of: number)
        words.store(place, receivedAt)
        words.store(place &+ 1, nanoseconds)
        words.store(place &+ 2, offset)
        words.store(place &+ 3, length)
        words.store(place &+ 4, rest)
        words.store(CounterLayout.ringWhole, number &+ 1)
    }

    /// The event of a number below ``end``; nil when it has been overwritten, also in this moment.
    func event(_ number: UInt64) -> Event? {
        let place = Self.place(of: number)
        let event = Event(
            receivedAt: words.load(place), nanoseconds: words.load(place &+ 1),
            offset: words.load(place &+ 2), length: words.load(place &+ 3),
            rest: words.load(place &+ 4))
        // Whoever overwrites it has claimed that number first.
        let claimed = words.load(CounterLayout.ringClaimed)
        return claimed &- number <= UInt64(CounterLayout.ringCapacity) ? event : nil
    }

    /// The first event that is surely still there, if the last one is `end`.
    static func oldest(before end: UInt64) -> UInt64 {
        end > UInt64(CounterLayout.ringCapacity) ? end - UInt64(CounterLayout.ringCapacity) : 0
    }

    private static func place(of number: UInt64) -> Int {
        let slot = Int(truncatingIfNeeded: number % UInt64(CounterLayout.ringCapacity))
        return CounterLayout.ring &+ slot &* CounterLayout.wordsOfEvent
    }

    /// What is written of a request.
    struct Event {
        var receivedAt: UInt64
        var nanoseconds: UInt64
        var offset: UInt64
        var length: UInt64
        /// Command in the lowest 16 bits, flags in the next, then the error.
        var rest: UInt64

        var command: Command { Command(rawValue: UInt16(truncatingIfNeeded: rest)) }
        var flags: CommandFlags { CommandFlags(rawValue: UInt16(truncatingIfNeeded: rest >> 16)) }
        var error: WireError { WireError(rawValue: UInt32(truncatingIfNeeded: rest >> 32)) }
    }
}
