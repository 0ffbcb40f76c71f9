internal import ProgramSupport
internal import FoundationEssentials
internal import Glibc
internal import LinuxIO
internal import NBDServer

/// Turns what connections trace into lines. It holds no more than one piece: what is not asked for
/// in time is overwritten in the connections' rings, and counted.
struct TraceStream: ~Copyable {
    private var follower: TraceFollower
    private let selection: TraceSelection
    private let names: [String]
    private let text: TraceLineText
    private let encoder = JSONEncoder()
    private var told: UInt64 = 0
    private var hasBegun = false
    private var isOver = false
    private var lastStatus = MonotonicTime.now()

    /// Requests that are looked at for one piece.
    private static let pieceLimit = 2048
    /// Looking again and again without finding anything, the pause grows to the longest.
    private static let shortestPause = Duration.milliseconds(2)
    private static let longestPause = Duration.milliseconds(50)
    private static let statusMilliseconds = 1000

    init(_ follower: consuming TraceFollower, _ selection: TraceSelection, exports: [Export]) throws
    {
        let start = follower.startNanoseconds
        self.follower = follower
        self.selection = selection
        names = exports.map(\.name)
        text = TraceLineText(
            startNanoseconds: start,
            exports: try names.map {
                String(decoding: try JSONEncoder().encode($0), as: UTF8.self)
            })
    }

    /// The next lines, at least one; nil when the stream is over. Waits for them.
    mutating func next() async throws -> [UInt8]? {
        if !hasBegun {
            hasBegun = true
            return try line(.start(start()))
        }
        if isOver { return nil }
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
        where selection.passes(record, export: names[record.export]) {
            lines += text.line(record).utf8
            told += 1
            if told == selection.count {
                isOver = true
                return lines + (try line(.end(status())))
            }
        }
        let now = MonotonicTime.now()
        if lastStatus.adding(milliseconds: Self.statusMilliseconds) < now {
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
            toldRequests: told, droppedRequests: follower.droppedRequests)
    }

    private func line(_ line: TraceLine) throws -> [UInt8] {
        try encoder.encode(line) + [UInt8(ascii: "\n")]
    }
}
