// Every rule that a request must meet, in one place, each with its error. What passes here can be
// served without another check.

/// The rules of one export for the requests of one connection.
@frozen public struct RequestRules: Sendable, BitwiseCopyable {
    /// Size of the export in bytes.
    public let exportSize: UInt64
    /// Whether nothing may be changed.
    public let isReadOnly: Bool
    /// Whether BLOCK_STATUS has a context to tell of.
    public let hasContext: Bool
    /// What a READ may have.
    public let readFlags: CommandFlags
    /// What a WRITE may have.
    public let writeFlags: CommandFlags
    /// Largest WRITE payload that is read away when the request is refused, in bytes. A longer one ends
    /// the connection, with extended headers sooner, as the specification wants it.
    public let drainedPayload: UInt64

    /// Rules for an export, with what the handshake has agreed on.
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

    /// Why a request has to be refused, or nil when it can be served.
    ///
    /// DISC is not for here: it has no reply, and its other fields are ignored. Nor is a payload where
    /// only a WRITE has one: it has to be gone first.
    @inlinable @inline(__always)
    public func check(_ request: Request) -> RequestError? {
        // Nearly every request is a READ or a WRITE with few flags, inside the export: one compact
        // test lets these pass, and the reasons are sorted out for the others.
        if request.command.rawValue <= Command.write.rawValue,
            request.flags.isWithin(request.command == .read ? readFlags : writeFlags),
            request.length &- 1 < Limits.maximumPayload,
            isInside(request),
            request.command == .read || !isReadOnly
        {
            return nil
        }
        return explain(request)
    }

    /// Bounds without overflow: neither sum nor difference can wrap.
    @inlinable @inline(__always)
    func isInside(_ request: Request) -> Bool {
        request.offset <= exportSize && request.length <= exportSize &- request.offset
    }

    #if !DEBUG
        // See Transmission in NBDServer: the proof goes on here.
        @_noAllocation @_noLocks
    #endif
    @usableFromInline
    func explain(_ request: Request) -> RequestError? {
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

    /// Nil for a command that is not known. FUA is valid on every one.
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
