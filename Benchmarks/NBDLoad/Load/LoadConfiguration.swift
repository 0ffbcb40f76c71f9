internal import LinuxIO
internal import NBDProtocol

/// The type of requests in a load.
enum Workload: String, CaseIterable {
    case read, write, mixed, trim
}

/// The load of one connection.
struct LoadConfiguration: Sendable {
    var workload = Workload.read
    /// Share of reads in a mixed load, in percent.
    var readPercent = 70
    var isSequential = false
    /// The negotiated message format.
    var format = HeaderFormat.simple
    /// Size of each request in bytes.
    var blockSize = 4096
    /// Requests in flight.
    var depth = 128
    /// The blocks to access: those of the whole export, or this connection's share when verifying.
    var blocks = 0..<0
    /// The first block of a sequential load.
    var firstBlock = 0
    var warmupNanoseconds: UInt64 = 0
    var nanoseconds: UInt64 = 0
    var isVerifying = false
    /// Whether to busy-poll for replies instead of sleeping.
    var isSpinning = false
    /// Seed of the random numbers.
    var seed: UInt64 = 0
    /// Size of the receive buffer in bytes.
    var receiveBuffer = 256 << 10
}

/// A pseudo-random number generator: wyrand, which needs one multiplication per number.
struct RandomNumbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }

    /// Returns the next 64 bits.
    @inline(__always)
    mutating func next() -> UInt64 {
        state &+= 0xa076_1d64_78bd_642f
        let product = state.multipliedFullWidth(by: state ^ 0xe703_7ed1_a0b4_28db)
        return product.high ^ product.low
    }

    /// Returns a number from 0 to `bound` - 1.
    @inline(__always)
    mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
    }
}
