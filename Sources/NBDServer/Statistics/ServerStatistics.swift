internal import LinuxIO

/// One open connection.
public struct ConnectionStatistics: Sendable {
    /// Connections are numbered from 1.
    public let number: UInt64
    /// Who it is, in words: `127.0.0.1:43210`, `user 0 (process 4711)`.
    public let client: String
    /// The index of its export among the server's; nil while it has chosen none.
    public let export: Int?
    /// Whether it is encrypted.
    public let isEncrypted: Bool
    /// How long it has been open.
    public let openNanoseconds: UInt64
    /// What it has counted.
    public let activity: ActivityStatistics

    /// Memory that a connection has mapped for its receive buffer, its stack, its counters and its
    /// trace. Not all of it is touched, and so in RAM.
    public static var mappedBytes: Int {
        ReceiveBuffer.capacity + Thread.stackSize + CounterLayout.byteCount
    }
}

/// What all connections of an export did, those that have ended too.
public struct ExportStatistics: Sendable {
    /// Connections that use it now.
    public internal(set) var openConnections = 0
    /// What they and those before them have counted.
    public internal(set) var activity = ActivityStatistics()
}

/// A server and its connections at one moment.
public struct ServerStatistics: Sendable {
    /// How long it has been running.
    public internal(set) var uptimeNanoseconds: UInt64 = 0
    /// When this was taken, on a clock that only goes forward.
    public internal(set) var monotonicNanoseconds: UInt64 = 0
    /// Whether requests are counted at all.
    public internal(set) var isCounting = false
    /// Connections taken in.
    public internal(set) var accepted: UInt64 = 0
    /// Clients turned away because there were too many.
    public internal(set) var refused: UInt64 = 0
    /// Connections that ended because the client broke the protocol.
    public internal(set) var violations: UInt64 = 0
    /// Traces that are being read.
    public internal(set) var traceReaders = 0
    /// Open connections, oldest first.
    public internal(set) var connections: [ConnectionStatistics] = []
    /// One for each of the server's exports, in their order.
    public internal(set) var exports: [ExportStatistics] = []
    /// What all connections have counted, those that have ended too.
    public internal(set) var activity = ActivityStatistics()
}
