internal import LinuxIO

/// A lock that a thread gets in bounded time, also where other threads take it again and again.
///
/// Normally it goes to whichever thread asks first while it is free, which is usually one that runs, not one that has
/// just been woken: handing it to a sleeping thread would leave it unused until that thread runs, 10 microseconds
/// or more each time. But a thread that works in pieces, and takes the lock for each, would always be first, and the
/// sleeping one would never get it. So a thread that has waited for ``patience`` is counted as starving, and while one
/// is, threads that come later wait until it has had the lock. After that it waits only for threads that slept
/// before it did, for one turn of each.
///
/// Every method is safe to call from any thread.
struct FairLock: Sendable, BitwiseCopyable {
    private let words: AtomicWords
    /// The index of the lock's word; see `AtomicWords.lock(_:)`.
    private let word: Int
    /// The index of the count of starving threads.
    private var starving: Int { word + 1 }

    /// Bytes of memory that a lock needs.
    static var byteCount: Int { 16 }

    /// The wait in nanoseconds after which a thread has priority over later ones: several wake-ups long, and far below
    /// what a client notices.
    private static var patience: UInt64 { 1_000_000 }

    /// A lock that is free, in two words that are zero.
    init(_ words: AtomicWords, at index: Int) {
        self.words = words
        word = index
    }

    /// Takes the lock. A thread that has to wait sleeps.
    @inline(__always)
    func lock() {
        if words.load(starving) == 0, words.replace(word, 0, with: 1) { return }
        lockAfterWaiting()
    }

    /// Releases the lock, and wakes one thread that waits for it, the one that has slept longest.
    @inline(__always)
    func unlock() { words.unlock(word) }

    private func lockAfterWaiting() {
        let start = MonotonicTime.now()
        while case let count = words.load(starving), count != 0 {
            words.sleep(starving, while: UInt32(truncatingIfNeeded: count))
        }
        var isStarving = false
        while words.exchange(word, 2) != 0 {
            if !isStarving, MonotonicTime.now().nanoseconds &- start.nanoseconds > Self.patience {
                words.add(starving, 1)
                isStarving = true
            }
            words.sleep(word, while: 2)
        }
        if isStarving {
            words.add(starving, ~0)
            words.wake(starving, all: true)
        }
    }
}
