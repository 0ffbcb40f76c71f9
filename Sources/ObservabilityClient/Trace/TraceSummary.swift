internal import Observability

/// The sums over the requests of a trace. Its memory does not grow with their number.
struct TraceSummary: Sendable {
    /// Number of equal parts of a disk that are counted separately.
    static let regionCount = 1024

    /// The counters of one disk.
    struct Disk: Sendable {
        /// The size that the regions divide; never 0.
        var sizeBytes: UInt64
        /// Number of reads that touched each region.
        var reads = [UInt64](repeating: 0, count: regionCount)
        /// Number of writes, trims and writes of zeros that touched each region.
        var writes = [UInt64](repeating: 0, count: regionCount)
    }

    /// Counts by powers of two: entry i counts values of more than 2^(i-1) and up to 2^i.
    typealias Powers = [Int: UInt64]

    private(set) var disks: [(export: String, disk: Disk)]
    private(set) var commands: [CommandName: CommandActivity] = [:]
    private(set) var sizes: Powers = [:]
    private(set) var times: Powers = [:]
    private(set) var errors: [String: UInt64] = [:]
    private(set) var requests: UInt64 = 0
    private(set) var dropped: UInt64 = 0
    private(set) var lastNanoseconds: UInt64 = 0

    /// Creates an empty summary of these disks, whose sizes the maps cover.
    init(disks: [(export: String, sizeBytes: UInt64)]) {
        self.disks = disks.map { ($0.export, Disk(sizeBytes: max(1, $0.sizeBytes))) }
    }

    /// Adds a request.
    mutating func add(_ event: TraceEvent) {
        requests += 1
        lastNanoseconds = max(lastNanoseconds, event.timeNanoseconds &+ event.durationNanoseconds)
        var command =
            commands[event.command] ?? CommandActivity(command: event.command)
        command.requests += 1
        if let error = event.error {
            command.errors += 1
            errors[error, default: 0] += 1
        } else {
            command.bytes &+= event.lengthBytes
        }
        command.latency.add(nanoseconds: event.durationNanoseconds)
        commands[event.command] = command
        times[Self.power(event.durationNanoseconds), default: 0] += 1
        guard event.command.hasRange, event.lengthBytes > 0 else { return }
        sizes[Self.power(event.lengthBytes), default: 0] += 1
        if event.error == nil { mark(event) }
    }

    /// Adds requests that were overwritten before this client could receive them.
    mutating func addDropped(_ count: UInt64) { dropped &+= count }

    private mutating func mark(_ event: TraceEvent) {
        guard let index = disks.firstIndex(where: { $0.export == event.export }) else { return }
        let size = disks[index].disk.sizeBytes
        guard event.offset < size else { return }
        let end = event.offset + min(event.lengthBytes, size - event.offset) - 1
        for region in Self.region(event.offset, of: size)...Self.region(end, of: size) {
            switch event.command {
            case .read: disks[index].disk.reads[region] += 1
            case .write, .trim, .writeZeroes: disks[index].disk.writes[region] += 1
            default: break
            }
        }
    }

    private static func region(_ offset: UInt64, of size: UInt64) -> Int {
        let wide = offset.multipliedFullWidth(by: UInt64(regionCount))
        return Int(size.dividingFullWidth(wide).quotient)
    }

    private static func power(_ value: UInt64) -> Int {
        value <= 1 ? 0 : 64 - (value - 1).leadingZeroBitCount
    }
}
