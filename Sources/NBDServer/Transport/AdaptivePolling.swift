internal import LinuxIO

/// How long a connection's thread looks for the next request before it sleeps.
///
/// Falling asleep and being woken costs more than a small request does. While the next request keeps
/// coming within the window, looking for it saves that; when it does not come, the window is halved
/// each time until there is no more looking, so an idle connection costs nothing. A request that
/// comes soon after a sleep opens the window again.
struct AdaptivePolling {
    /// Longest window, in nanoseconds; 0 never looks.
    private let longest: UInt64
    private var window: UInt64
    private var end: MonotonicTime?
    /// Whether nobody has looked since the window was opened.
    private var isFirstLook = false
    /// Eight times the average size of the last batches, about eight of them.
    private var recentEighths = 0
    /// Windows below this are no use: a look costs about as much. In nanoseconds.
    private static var shortest: UInt64 { 2_000 }
    /// Requests in a batch, on average, above which batches are large.
    private static var largeBatch: Int { 32 }

    /// A window of up to so many microseconds. With one processor there is nobody to wait for.
    init(microseconds: Int) {
        longest = Processor.onlineCount > 1 ? UInt64(max(0, microseconds)) * 1_000 : 0
        window = longest
    }

    /// Opens the window, unless batches have been large of late: the cost of being woken is shared by
    /// many requests then, and while this thread sleeps the next batch grows.
    mutating func begin(afterBatchOf count: Int) {
        recentEighths = recentEighths &- recentEighths / 8 &+ count
        let isWorthIt = window >= Self.shortest && recentEighths <= 8 &* Self.largeBatch
        end =
            isWorthIt
            ? MonotonicTime(nanoseconds: MonotonicTime.now().nanoseconds &+ window) : nil
        isFirstLook = isWorthIt
    }

    /// Whether to look once more: the window is open. Each look but the first comes after a pause.
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

    /// The request has come while the window was open: looking pays.
    mutating func found() { window = longest }

    /// Tells how long a sleep was: a short one would have been worth looking for.
    mutating func slept(nanoseconds: UInt64) {
        if nanoseconds < longest { window = min(longest, max(Self.shortest, window) * 2) }
    }

    /// Whether ``slept(nanoseconds:)`` is worth the two looks at the clock it takes.
    var isOn: Bool { longest > 0 }
}
