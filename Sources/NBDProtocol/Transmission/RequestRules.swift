/// The rules that a request must follow, each with its error, for one export and one connection.
///
/// This is the only place that validates requests: a request that passes can be served without another
/// check.
@frozen public struct RequestRules: Sendable, BitwiseCopyable {
    /// Size of the export in bytes.
    public let exportSize: UInt64
    /// Whether the export is read-only.
    public let isReadOnly: Bool
    /// The metadata contexts that were negotiated, so what BLOCK_STATUS reports.
    public let contexts: ContextSet
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
        contexts: ContextSet = ContextSet()
    ) {
        self.exportSize = exportSize
        self.isReadOnly = isReadOnly
        self.contexts = contexts
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
        if request.command == .blockStatus, contexts.isEmpty { return .noContext }
        if isReadOnly, isChange(request.command) { return .readOnly }
        if request.length == 0 { return .noBytes }
        if hasPayload(request.command), request.length > Limits.maximumPayload {
            return .payloadTooLong
        }
        return isInside(request) ? nil : .beyondEnd
    }

    /// Returns why the server must reject a payload that a request other than WRITE announces, as far as its
    /// length shows; nil if it may be one for ``selection(in:)``. The caller discards a rejected payload.
    @inlinable
    public func validatePayload(of request: Request) -> RequestError? {
        guard request.command == .blockStatus else { return .payload }
        if contexts.isEmpty { return .noContext }
        guard request.length % 4 == 0, request.length > 8 else { return .payload }
        // A longer one would have to name a context that was not negotiated, or one twice.
        let longest = ContextSelection.encodedSize(contexts: contexts.count)
        return request.length <= UInt64(longest) ? nil : .unknownContext
    }

    /// Returns what the payload of a BLOCK_STATUS selects; nil if the server must reject it with
    /// ``RequestError/unknownContext``. The request is still to be validated with the length in it.
    public func selection(in payload: borrowing RawSpan) -> ContextSelection? {
        ContextSelection(decoding: payload, negotiated: contexts)
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
