/// A reason to refuse a request.
@frozen public enum RequestError: UInt8, Error, Sendable, Hashable, CaseIterable, BitwiseCopyable {
    /// No command has this number.
    case unknownCommand
    /// A flag that does not exist, was not agreed on, or does not go with the command.
    case flags
    /// The export is read-only.
    case readOnly
    /// A range of no bytes.
    case noBytes
    /// FLUSH with an offset or a length.
    case flushRange
    /// More data than one request may carry.
    case payloadTooLong
    /// The range is not inside the export.
    case beyondEnd
    /// BLOCK_STATUS without a context that was chosen for this export.
    case noContext
    /// A payload where none belongs, or one of the wrong length.
    case payload
    /// A choice of contexts that were not agreed on.
    case unknownContext
    /// A sparse disk has got no memory.
    case noMemory
    /// The server is being stopped.
    case shuttingDown

    /// What travels (specification: "Error values").
    public func error(for command: Command) -> WireError {
        switch self {
        case .readOnly: .notPermitted
        case .noMemory: .noSpace
        case .beyondEnd where command == .write || command == .writeZeroes: .noSpace
        case .shuttingDown: .shutdown
        default: .invalid
        }
    }

    /// One sentence, for an error chunk. Of ASCII alone, and at most ``longestExplanation`` bytes.
    public var explanation: StaticString {
        switch self {
        case .unknownCommand: "there is no such command"
        case .flags: "a flag is unknown, was not agreed on, or does not go with this command"
        case .readOnly: "this export is read-only"
        case .noBytes: "the length is zero"
        case .flushRange: "a flush has neither offset nor length"
        case .payloadTooLong: "the length is over 64 MiB, the most that one request may carry"
        case .beyondEnd: "the range goes beyond the end of the export"
        case .noContext: "no metadata context was chosen for this export"
        case .payload: "this payload does not belong to this command"
        case .unknownContext: "the payload names contexts that were not chosen, or one twice"
        case .noMemory: "the machine has no memory left for this sparse disk"
        case .shuttingDown: "the server is being stopped"
        }
    }

    /// Bytes of the longest explanation, and some.
    public static var longestExplanation: Int { 80 }
}
