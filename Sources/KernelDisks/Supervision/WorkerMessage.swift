internal import NBDServer

/// A message over the channel between supervisor and worker: a letter, followed by numbers in some messages.
/// Both ends are the same program, but possibly of different versions; unknown messages are ignored.
enum WorkerMessage: Equatable {
    /// To the worker: serve the socket that comes with this message.
    case serve
    /// To the worker: stop, and keep the backing.
    case stopAndKeep
    /// To the worker: stop, and release the memory.
    case stopAndRemove
    /// To the worker: save the disk to its image.
    case save
    /// To the worker: the disk's file system is mounted at this path, or not any more.
    case mounted(String?)
    /// From the worker: freeze the file system for the instant of a save. The worker numbers its requests.
    case freeze(UInt64)
    /// To the worker: the file system is frozen, as far as it can be; or why not, at most 900 bytes of it.
    case frozen(UInt64, failure: String?)
    /// From the worker: thaw the file system. The worker may send it before the supervisor replies to the request.
    case thaw(UInt64)
    /// From the worker: a save has ended; the reason if it has failed, at most 900 bytes of it.
    case saved(failure: String?)
    /// From the worker: ready for sockets.
    case ready(InitialDiskState)
    /// From the worker: a connection has ended. Connections are numbered in the order in which the worker has
    /// received them.
    case ended(UInt64)

    /// The bytes of the message on the channel.
    var encoded: [UInt8] {
        switch self {
        case .serve: [UInt8(ascii: "S")]
        case .stopAndKeep: [UInt8(ascii: "K")]
        case .stopAndRemove: [UInt8(ascii: "R")]
        case .save: [UInt8(ascii: "V")]
        case .mounted(let path): [UInt8(ascii: "M")] + Self.bytes(of: path)
        case .freeze(let requestID): [UInt8(ascii: "F")] + Self.bytes(of: requestID)
        case .frozen(let requestID, let failure):
            [UInt8(ascii: "f")] + Self.bytes(of: requestID) + Self.bytes(of: failure)
        case .thaw(let requestID): [UInt8(ascii: "T")] + Self.bytes(of: requestID)
        case .saved(let failure): [UInt8(ascii: "v")] + Self.bytes(of: failure)
        case .ready(let start):
            [
                UInt8(ascii: "r"), start.isBlank ? 1 : 0, start.wasFound ? 1 : 0,
                UInt8(start.sectorSize / 512),
            ] + Self.bytes(of: start.identity.high) + Self.bytes(of: start.identity.low)
        case .ended(let connectionID): [UInt8(ascii: "e")] + Self.bytes(of: connectionID)
        }
    }

    /// The most bytes of a text in a message.
    static var longestText: Int { 900 }

    private static func bytes(of text: String?) -> [UInt8] {
        Array((text ?? "").utf8.prefix(longestText))
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String? {
        bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }

    private static func bytes(of word: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
    }

    private static func word(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Decodes a message; nil when the bytes are not one.
    init?(decoding bytes: [UInt8]) {
        switch (bytes.first, bytes.count) {
        case (UInt8(ascii: "S"), 1): self = .serve
        case (UInt8(ascii: "K"), 1): self = .stopAndKeep
        case (UInt8(ascii: "R"), 1): self = .stopAndRemove
        case (UInt8(ascii: "V"), 1): self = .save
        case (UInt8(ascii: "M"), _): self = .mounted(Self.text(bytes.dropFirst()))
        case (UInt8(ascii: "F"), 9): self = .freeze(Self.word(bytes[1..<9]))
        case (UInt8(ascii: "f"), 9...):
            self = .frozen(Self.word(bytes[1..<9]), failure: Self.text(bytes.dropFirst(9)))
        case (UInt8(ascii: "T"), 9): self = .thaw(Self.word(bytes[1..<9]))
        case (UInt8(ascii: "v"), _): self = .saved(failure: Self.text(bytes.dropFirst()))
        case (UInt8(ascii: "r"), 20):
            var start = InitialDiskState(isBlank: bytes[1] != 0, wasFound: bytes[2] != 0)
            start.sectorSize = Int(bytes[3]) * 512
            start.identity = DiskIdentity(
                high: Self.word(bytes[4..<12]), low: Self.word(bytes[12..<20]))
            self = .ready(start)
        case (UInt8(ascii: "e"), 9): self = .ended(Self.word(bytes[1..<9]))
        default: return nil
        }
    }
}
