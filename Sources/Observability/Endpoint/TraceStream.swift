internal import ProgramSupport
internal import FoundationEssentials
internal import Glibc
internal import LinuxIO
internal import NBDServer

/// The lines of a trace, in pieces.
///
/// The stream buffers at most one piece. When its client reads too slowly, connections overwrite
/// the records in their rings before the stream has read them; the stream counts those as dropped.
struct TraceStream: ~Copyable {
    private var follower: TraceFollower
    private let selection: TraceSelection
    private var text: TraceLineText
    private let encoder = JSONEncoder()
    private var sentRequests: UInt64 = 0
    private var hasStarted = false
    private var isFinished = false
    private var lastStatus = MonotonicTime.now()

    /// Maximum number of records that one piece is made of.
    private static let pieceLimit = 2048
    /// Pause between two reads of the rings. It doubles, up to the longest, while they return
    /// nothing.
    private static let shortestPause = Duration.milliseconds(2)
    private static let longestPause = Duration.milliseconds(50)
    private static let statusIntervalMilliseconds = 1000

    init(_ follower: consuming TraceFollower, _ selection: TraceSelection) {
        text = TraceLineText(startNanoseconds: follower.startNanoseconds)
        self.follower = follower
        self.selection = selection
    }

    /// Waits for the next lines and returns at least one, or nil at the end of the stream.
    mutating func next() async throws -> [UInt8]? {
        if !hasStarted {
            hasStarted = true
            return try line(.start(start()))
        }
        if isFinished { return nil }
        var pause = Self.shortestPause
        while true {
            let lines = try nextLines()
            if !lines.isEmpty { return lines }
            try await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    private mutating func nextLines() throws -> [UInt8] {
        var lines: [UInt8] = []
        for record in follower.read(atMost: Self.pieceLimit)
        where selection.passes(record) {
            lines += try text.line(record).utf8
            sentRequests += 1
            if sentRequests == selection.count {
                isFinished = true
                return lines + (try line(.end(status())))
            }
        }
        let now = MonotonicTime.now()
        if lastStatus.adding(milliseconds: Self.statusIntervalMilliseconds) < now {
            lastStatus = now
            lines += try line(.status(status()))
        }
        return lines
    }

    private func start() -> TraceStart {
        let now = MonotonicTime.now().nanoseconds
        let age = Double(now &- follower.startNanoseconds) / 1e9
        return TraceStart(
            startUnixSeconds: Date().timeIntervalSince1970 - age,
            startMonotonicNanoseconds: follower.startNanoseconds, pid: getpid(),
            version: Version.current)
    }

    private func status() -> TraceStatus {
        TraceStatus(
            timeNanoseconds: MonotonicTime.now().nanoseconds &- follower.startNanoseconds,
            toldRequests: sentRequests, droppedRequests: follower.droppedRequests)
    }

    private func line(_ line: TraceLine) throws -> [UInt8] {
        try encoder.encode(line) + [UInt8(ascii: "\n")]
    }
}
