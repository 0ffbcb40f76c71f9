internal import LinuxIO
internal import NBDProtocol

/// The load of one connection.
struct LoadConfiguration: Sendable {
    var workload = Workload.read
    /// Reads among a mixed load, in percent.
    var readPercent = 70
    var isSequential = false
    /// The messages that were agreed on.
    var format = HeaderFormat.simple
    /// Bytes of each request.
    var blockSize = 4096
    /// Requests in flight.
    var depth = 128
    /// Blocks that are asked for: of the whole export, or of this connection's share when verifying.
    var blocks = 0..<0
    /// Where a sequential load begins.
    var firstBlock = 0
    var warmupNanoseconds: UInt64 = 0
    var nanoseconds: UInt64 = 0
    var isVerifying = false
    /// Whether to look for replies again and again, instead of sleeping until they come.
    var isSpinning = false
    /// Where the random numbers begin.
    var seed: UInt64 = 0
    /// Bytes of the receive buffer.
    var receiveBuffer = 256 << 10
}

/// A source of numbers that look random: wyrand, which is one multiplication a number.
struct RandomNumbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }

    /// The next 64 bits.
    @inline(__always)
    mutating func next() -> UInt64 {
        state &+= 0xa076_1d64_78bd_642f
        let product = state.multipliedFullWidth(by: state ^ 0xe703_7ed1_a0b4_28db)
        return product.high ^ product.low
    }

    /// A number from 0 to below a bound.
    @inline(__always)
    mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
    }
}

extension Command {
    /// Its name in a sentence.
    var name: String {
        switch self {
        case .read: "read"
        case .write: "write"
        default: "trim"
        }
    }
}
