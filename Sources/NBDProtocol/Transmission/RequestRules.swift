/// The rules that a request must follow, each with its error, for one export and one connection.
///
/// This is the only place that validates requests: a request that passes can be served without another
/// check.
@frozen public struct RequestRules: Sendable, BitwiseCopyable {
    /// Size of the export in bytes.
    public let exportSize: UInt64
    /// Whether the export is read-only.
    public let isReadOnly: Bool
    /// Whether a metadata context was negotiated, so that BLOCK_STATUS has something to report.
    public let hasContext: Bool
    /// The flags that a READ may have.
    public let readFlags: CommandFlags
    /// The flags that a WRITE may have.
    public let writeFlags: CommandFlags
    /// Largest payload of a rejected WRITE that the server reads and discards, in bytes. A longer one
    /// ends the connection. With extended headers the limit is lower, as the specification demands.
    public let drainedPayload: UInt64

    /// Creates the rules for an export and for what the handshake has negotiated.
    public init(
        exportSize: UInt64, isReadOnly: Bool, format: HeaderFormat = .simple,
        hasContext: Bool = false
    ) {
        self.exportSize = exportSize
        self.isReadOnly = isReadOnly
        self.hasContext = hasContext
        readFlags =
            format == .simple ? .forceUnitAccess : .forceUnitAccess.and(.dontFragment)
        writeFlags =
            format == .extended ? .forceUnitAccess.and(.payloadLength) : .forceUnitAccess
        drainedPayload =
            format == .extended ? Limits.maximumPayload : Limits.drainedPayload
    }

    /// Returns why the server must reject a request, or nil if it can serve it.
    ///
    /// The caller handles two cases itself. A DISC has no reply, and its other fields are ignored. A
    /// payload of a command other than WRITE has to be read and discarded first.
    @inlinable @inline(__always)
    public func validate(_ request: Request) -> RequestError? {
        // Nearly every request is a READ or a WRITE with few flags, inside the export. One compact
        // test passes these; the slow path finds the reason for the others.
        if request.command.rawValue <= Command.write.rawValue,
            request.flags.isWithin(request.command == .read ? readFlags : writeFlags),
            request.length &- 1 < Limits.maximumPayload,
            isInside(request),
            request.command == .read || !isReadOnly
        {
            return nil
        }
        return findError(in: request)
    }

    /// Returns whether the range is inside the export. Neither comparison can overflow.
    @inlinable @inline(__always)
    func isInside(_ request: Request) -> Bool {
        request.offset <= exportSize && request.length <= exportSize &- request.offset
    }

    #if !DEBUG
        // Extends the proof of Transmission in NBDServer to this function.
        @_noAllocation @_noLocks
    #endif
    @usableFromInline
    func findError(in request: Request) -> RequestError? {
        guard let allowedFlags = allowedFlags(of: request.command) else { return .unknownCommand }
        guard request.flags.isWithin(allowedFlags) else { return .flags }
        if request.command == .flush {
            return request.offset == 0 && request.length == 0 ? nil : .flushRange
        }
        if request.command == .blockStatus, !hasContext { return .noContext }
        if isReadOnly, isChange(request.command) { return .readOnly }
        if request.length == 0 { return .noBytes }
        if hasPayload(request.command), request.length > Limits.maximumPayload {
            return .payloadTooLong
        }
        return isInside(request) ? nil : .beyondEnd
    }

    /// Returns the flags that a command may have, or nil if the command is unknown. FUA is valid with
    /// every command.
    private func allowedFlags(of command: Command) -> CommandFlags? {
        switch command {
        case .read: readFlags
        case .write: writeFlags
        case .flush, .trim, .cache: .forceUnitAccess
        case .writeZeroes: .forceUnitAccess.and(.noHole).and(.fastZero)
        case .blockStatus: .forceUnitAccess.and(.requestOne)
        default: nil
        }
    }

    private func isChange(_ command: Command) -> Bool {
        command == .write || command == .trim || command == .writeZeroes
    }

    private func hasPayload(_ command: Command) -> Bool {
        command == .read || command == .write
    }
}
