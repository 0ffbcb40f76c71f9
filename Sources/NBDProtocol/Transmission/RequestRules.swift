// Every rule that a request must meet, in one place, each with its error. What passes here can be
// served without another check.

/// The rules of one export for the requests of one connection.
@frozen public struct RequestRules: Sendable, BitwiseCopyable {
    /// Size of the export in bytes.
    public let exportSize: UInt64
    /// Whether nothing may be changed.
    public let isReadOnly: Bool

    /// Rules for an export.
    public init(exportSize: UInt64, isReadOnly: Bool) {
        self.exportSize = exportSize
        self.isReadOnly = isReadOnly
    }

    /// The error that a request deserves, or ``WireError/none``.
    ///
    /// DISC is not for here: it has no reply, and its other fields are ignored.
    @inlinable @inline(__always)
    public func check(_ request: Request) -> WireError {
        // Nearly every request is a READ or a WRITE without flags but FUA, inside the export: one
        // compact test lets these pass, and the reasons are sorted out for the others.
        if request.command.rawValue <= Command.write.rawValue,
            request.flags.isWithin(.forceUnitAccess),
            request.length &- 1 < Limits.maximumPayload,
            isInside(request),
            request.command == .read || !isReadOnly
        {
            return .none
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
    func explain(_ request: Request) -> WireError {
        guard let allowedFlags = allowedFlags(of: request.command),
            request.flags.isWithin(allowedFlags)
        else { return .invalid }
        if request.command == .flush {
            return request.offset == 0 && request.length == 0 ? .none : .invalid
        }
        if isReadOnly, isChange(request.command) { return .notPermitted }
        if request.length == 0 { return .invalid }
        if hasPayload(request.command), request.length > Limits.maximumPayload { return .invalid }
        guard isInside(request) else {
            return request.command == .write || request.command == .writeZeroes
                ? .noSpace : .invalid
        }
        return .none
    }

    /// Nil for a command that is not known. FUA is valid on every one.
    private func allowedFlags(of command: Command) -> CommandFlags? {
        switch command {
        case .read, .write, .flush, .trim, .cache: .forceUnitAccess
        case .writeZeroes: .everyFlagOfWriteZeroes
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
