public import NBDProtocol
public import SystemPackage

/// A disk of your own: bytes that a program keeps wherever it likes, and that a ``Server`` serves.
///
/// Only ``size``, ``read(at:into:)`` and ``write(_:at:)`` are needed; everything else has a default.
///
/// ```swift
/// struct Ones: BlockStore {
///     let size: UInt64 = 1 << 20
///     func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) {
///         for index in buffer.indices { buffer[index] = 1 }
///     }
///     func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(BlockStoreError) {
///         throw .notPermitted()
///     }
/// }
/// ```
///
/// The server calls a store from the thread of the connection whose request it serves. A call may take
/// as long as it needs; only that connection waits. Requests of one connection are served one after the
/// other, requests of several connections at the same time, so every method must be safe to call from
/// several threads at once. What a read returns that overlaps a concurrent write is up to the store.
///
/// The server checks every request before it calls the store: ranges are never empty and lie inside
/// ``size``, and a read-only ``Export`` never calls a method that changes anything. It splits long
/// requests: a read or write covers at most 1 MiB (``longestTransfer``), a discard or zeroing at
/// most 64 MiB. An error ends the request, and the client is sent its code and, with structured or
/// extended replies, its message.
public protocol BlockStore: Sendable {
    /// The number of bytes that can be stored. The server reads it once, when an ``Export`` is made.
    var size: UInt64 { get }

    /// Fills the whole buffer with the bytes from an offset on.
    func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) throws(BlockStoreError)

    /// Stores bytes from an offset on. They need not be persistent before the next ``flush()``.
    func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(BlockStoreError)

    /// Makes every write persistent that has returned, whichever connection it came from. The server
    /// calls it for FLUSH, and after a request with the FUA flag. The default does nothing.
    func flush() throws(BlockStoreError)

    /// Drops a range: the contents are no longer needed. What it reads as afterwards is up to the store.
    /// The default does nothing.
    func discard(_ range: Range<UInt64>) throws(BlockStoreError)

    /// Makes a range read as zeroes. The default writes zeroes, and throws
    /// ``BlockStoreError/notSupported(_:)`` when that would not be fast enough.
    func zero(_ range: Range<UInt64>, options: ZeroOptions) throws(BlockStoreError)

    /// Returns how long the range, from its start on, has one status, and which. The server asks again
    /// behind it, reads no bytes where the status says that they are zero, and reports the rest to clients
    /// that ask for `base:allocation`. The default says that everything may be data.
    func firstExtent(of range: Range<UInt64>) throws(BlockStoreError) -> Extent

    /// The metadata contexts that clients can select beside `base:allocation`: up to 7, each with a name of
    /// its own. The server reads it once, when an ``Export`` is made. The default is `qemu:allocation-depth`.
    var contexts: [MetadataContext] { get }

    /// Returns how long the range, from its start on, has the same flags in one of the ``contexts``, and
    /// which. The server asks again behind it. The default knows `qemu:allocation-depth`: 0 for holes, 1 for
    /// everything else.
    func firstExtent(
        of range: Range<UInt64>, in context: MetadataContext
    ) throws(BlockStoreError) -> Extent
}

extension BlockStore {
    /// Does nothing.
    public func flush() throws(BlockStoreError) {}

    /// Does nothing.
    public func discard(_ range: Range<UInt64>) throws(BlockStoreError) {}

    /// Writes zeroes, unless the client wants to know that this is not fast.
    public func zero(_ range: Range<UInt64>, options: ZeroOptions) throws(BlockStoreError) {
        if options.contains(.fast) {
            throw .notSupported("zeroing is not faster than writing here")
        }
        let zeroes = [UInt8](
            repeating: 0, count: min(range.count, Self.longestTransfer))
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = min(UInt64(zeroes.count), range.upperBound - offset)
            try write(zeroes.span.extracting(first: Int(count)), at: offset)
            offset += count
        }
    }

    /// Says that the whole range may be data.
    public func firstExtent(of range: Range<UInt64>) throws(BlockStoreError) -> Extent {
        Extent(length: range.upperBound - range.lowerBound, status: .data)
    }

    /// Only `qemu:allocation-depth`.
    public var contexts: [MetadataContext] { [.allocationDepth] }

    /// Derives `qemu:allocation-depth` from ``firstExtent(of:)``, and throws for every other context.
    public func firstExtent(
        of range: Range<UInt64>, in context: MetadataContext
    ) throws(BlockStoreError) -> Extent {
        guard context == .allocationDepth else {
            throw .notSupported("the store does not know \(context.name)")
        }
        let extent = try firstExtent(of: range)
        return Extent(length: extent.length, flags: extent.status.contains(.hole) ? 0 : 1)
    }

    /// The most bytes that the server reads or writes in one call: 1 MiB.
    public static var longestTransfer: Int { 1 << 20 }
}

/// The way in which a store zeroes a range.
public struct ZeroOptions: OptionSet, Sendable, Hashable {
    /// One bit for each option.
    public let rawValue: UInt8
    /// Options from their bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The space stays allocated, so that a later write there cannot run out of it.
    public static let keepsSpace = ZeroOptions(rawValue: 1 << 0)
    /// Zeroing must be faster than writing zeroes, or throw ``BlockStoreError/notSupported(_:)``.
    public static let fast = ZeroOptions(rawValue: 1 << 1)
}

/// The reason why a store has failed a request: an error code of the protocol, and a message.
public struct BlockStoreError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The code that the client receives.
    public let code: WireError
    /// A sentence without a full stop. The client receives up to 80 bytes of it with structured and
    /// extended replies.
    public let message: String

    /// The message.
    public var description: String { message }

    /// An error with a code of the specification ("Error values").
    public init(code: WireError, message: String) {
        self.code = code
        self.message = message
    }

    /// The error for what a system call reported.
    public init(_ error: Errno) {
        let code: WireError =
            switch error {
            case .notPermitted, .permissionDenied, .readOnlyFileSystem: .notPermitted
            case .noMemory: .noMemory
            case .invalidArgument: .invalid
            case .noSpace, .diskQuotaExceeded, .fileTooLarge: .noSpace
            case .notSupported, .notSupportedOnSocket: .notSupported
            default: .inputOutput
            }
        self.init(code: code, message: "\(error)")
    }

    /// Reading or writing failed. `NBD_EIO`
    public static func inputOutput(_ message: String = "the store failed") -> Self {
        Self(code: .inputOutput, message: message)
    }

    /// There is no space for what would be written. `NBD_ENOSPC`
    public static func noSpace(_ message: String = "the store has no space left") -> Self {
        Self(code: .noSpace, message: message)
    }

    /// There is no memory for it. `NBD_ENOMEM`
    public static func noMemory(_ message: String = "there is no memory left") -> Self {
        Self(code: .noMemory, message: message)
    }

    /// The store does not allow it. `NBD_EPERM`
    public static func notPermitted(_ message: String = "the store does not allow it") -> Self {
        Self(code: .notPermitted, message: message)
    }

    /// The request makes no sense to the store. `NBD_EINVAL`
    public static func invalid(_ message: String = "the store cannot do that") -> Self {
        Self(code: .invalid, message: message)
    }

    /// The store cannot do it, or not fast. `NBD_ENOTSUP`
    public static func notSupported(_ message: String = "the store does not support it") -> Self {
        Self(code: .notSupported, message: message)
    }
}
