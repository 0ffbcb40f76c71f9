// What a supervisor and its worker tell each other, a message each.

/// Messages over the control socket: a letter, and for some of them a number. Both ends are the same
/// program, though perhaps not of the same version: what is not known is passed over.
enum WorkerMessage: Equatable {
    /// To the worker, with a socket: serve it.
    case serve
    /// To the worker: stop, and keep the memory under its name.
    case stopAndKeep
    /// To the worker: stop, and free the memory.
    case stopAndRemove
    /// From the worker, before it is ready: what is on the disk wants sectors of 512 bytes.
    case smallSectors
    /// From the worker: ready for sockets. It does not tell about sectors.
    case ready(DiskStart)
    /// From the worker: a connection has ended; they are numbered in the order of their coming.
    case ended(UInt64)

    /// The message as it travels.
    var encoded: [UInt8] {
        switch self {
        case .serve: [UInt8(ascii: "S")]
        case .stopAndKeep: [UInt8(ascii: "K")]
        case .stopAndRemove: [UInt8(ascii: "R")]
        case .smallSectors: [UInt8(ascii: "s")]
        case .ready(let start):
            [UInt8(ascii: "r"), start.isBlank ? 1 : 0, start.wasFound ? 1 : 0]
        case .ended(let number):
            [UInt8(ascii: "e")] + (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
        }
    }

    /// Nil for what is none.
    init?(decoding bytes: [UInt8]) {
        switch (bytes.first, bytes.count) {
        case (UInt8(ascii: "S"), 1): self = .serve
        case (UInt8(ascii: "K"), 1): self = .stopAndKeep
        case (UInt8(ascii: "R"), 1): self = .stopAndRemove
        case (UInt8(ascii: "s"), 1): self = .smallSectors
        case (UInt8(ascii: "r"), 3):
            self = .ready(DiskStart(isBlank: bytes[1] != 0, wasFound: bytes[2] != 0))
        case (UInt8(ascii: "e"), 9):
            self = .ended(bytes.dropFirst().reversed().reduce(0) { $0 << 8 | UInt64($1) })
        default: return nil
        }
    }
}
