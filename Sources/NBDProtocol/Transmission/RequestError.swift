/// The reason why the server rejects a request.
@frozen public enum RequestError: UInt8, Error, Sendable, Hashable, CaseIterable, BitwiseCopyable {
    /// The command does not exist.
    case unknownCommand
    /// A flag does not exist, was not negotiated, or does not apply to the command.
    case flags
    /// The export is read-only.
    case readOnly
    /// The length is zero.
    case noBytes
    /// A FLUSH has an offset or a length.
    case flushRange
    /// The request carries more data than one request may.
    case payloadTooLong
    /// The range is not entirely inside the export.
    case beyondEnd
    /// A BLOCK_STATUS, but no context was negotiated for this export.
    case noContext
    /// The command takes no payload, or the payload has the wrong length.
    case payload
    /// The payload selects contexts that were not negotiated, or one of them twice.
    case unknownContext
    /// There is no memory left for a sparse disk.
    case noMemory
    /// The server is stopping.
    case shuttingDown

    /// Returns the error to send (NBD specification, Error values).
    public func error(for command: Command) -> WireError {
        switch self {
        case .readOnly: .notPermitted
        case .noMemory: .noSpace
        case .beyondEnd where command == .write || command == .writeZeroes: .noSpace
        case .shuttingDown: .shutdown
        default: .invalid
        }
    }

    /// One sentence for an error chunk: ASCII only, and at most ``longestExplanation`` bytes.
    public var explanation: StaticString {
        switch self {
        case .unknownCommand: "there is no such command"
        case .flags: "a flag is unknown, was not negotiated, or does not apply to this command"
        case .readOnly: "this export is read-only"
        case .noBytes: "the length is zero"
        case .flushRange: "a flush has neither offset nor length"
        case .payloadTooLong: "the length is over 64 MiB, the most that one request may carry"
        case .beyondEnd: "the range goes beyond the end of the export"
        case .noContext: "no metadata context was negotiated for this export"
        case .payload: "this command takes no payload, or one of another length"
        case .unknownContext: "the payload selects contexts that were not negotiated, or one twice"
        case .noMemory: "the machine has no memory left for this sparse disk"
        case .shuttingDown: "the server is stopping"
        }
    }

    /// An upper bound of the length of an ``explanation``, in bytes.
    public static var longestExplanation: Int { 80 }
}
