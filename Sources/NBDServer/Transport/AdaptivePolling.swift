internal import LinuxIO

/// The time that a connection's thread busy-polls for the next request before it sleeps.
///
/// Sleeping and being woken costs more than serving a small request. While the next request keeps arriving
/// within the window, busy-polling saves that cost. When it does not arrive, the window is halved each time until
/// the thread no longer polls, so an idle connection costs nothing. A request that arrives soon after a sleep
/// opens the window again.
struct AdaptivePolling {
    /// The longest window in nanoseconds; 0 never polls.
    private let longest: UInt64
    private var window: UInt64
    private var end: MonotonicTime?
    /// Whether the thread has not polled since the window opened.
    private var isFirstLook = false
    /// Eight times the average size of about the last eight batches.
    private var recentEighths = 0
    /// The shortest useful window in nanoseconds: one poll takes about as long.
    private static var shortest: UInt64 { 2_000 }
    /// The average number of requests above which batches count as large.
    private static var largeBatch: Int { 32 }

    /// A window of up to a number of microseconds. With one processor the client could not run meanwhile, so there
    /// is no window.
    init(microseconds: Int) {
        longest = Processor.onlineCount > 1 ? UInt64(max(0, microseconds)) * 1_000 : 0
        window = longest
    }

    /// Opens the window, unless recent batches were large: then many requests share the cost of a wake-up, and the
    /// next batch grows while this thread sleeps.
    mutating func begin(afterBatchOf count: Int) {
        recentEighths = recentEighths &- recentEighths / 8 &+ count
        let isWorthIt = window >= Self.shortest && recentEighths <= 8 &* Self.largeBatch
        end =
            isWorthIt
            ? MonotonicTime(nanoseconds: MonotonicTime.now().nanoseconds &+ window) : nil
        isFirstLook = isWorthIt
    }

    /// Whether to poll once more, because the window is open. Pauses before each poll but the first.
    var goesOn: Bool {
        mutating get {
            guard let end else { return false }
            if isFirstLook {
                isFirstLook = false
                return true
            }
            if MonotonicTime.now() < end {
                Processor.relax()
                return true
            }
            window /= 2
            self.end = nil
            return false
        }
    }

    /// Notes that a request arrived while the window was open: polling pays off.
    mutating func found() { window = longest }

    /// Notes the length of a sleep: polling would have paid off instead of a short one.
    mutating func slept(nanoseconds: UInt64) {
        if nanoseconds < longest { window = min(longest, max(Self.shortest, window) * 2) }
    }

    /// Whether ``slept(nanoseconds:)`` is worth the two clock readings that it takes.
    var isOn: Bool { longest > 0 }
}
