public import NBDProtocol

/// Commands as they are counted: those of the protocol, and one for every other number.
public enum CountedCommand: Int, CaseIterable, Sendable {
    case read, write, disconnect, flush, trim, cache, writeZeroes, blockStatus, unknown

    /// The command's place. (Not by way of the cases: this is on the way of every request.)
    @inline(__always)
    static func place(of command: Command) -> Int {
        min(Int(command.rawValue), 8)
    }
}

/// Errors as they are counted: those of the specification, and one for every other number.
public enum CountedError: Int, CaseIterable, Sendable {
    case none, notPermitted, inputOutput, noMemory, invalid, noSpace, overflow, notSupported
    case shutdown, other

    /// The error's number on the wire; that of `other` is not known any more.
    public var wireError: WireError? {
        switch self {
        case .none: WireError.none
        case .notPermitted: WireError(rawValue: 1)
        case .inputOutput: WireError(rawValue: 5)
        case .noMemory: WireError(rawValue: 12)
        case .invalid: WireError(rawValue: 22)
        case .noSpace: WireError(rawValue: 28)
        case .overflow: WireError(rawValue: 75)
        case .notSupported: WireError(rawValue: 95)
        case .shutdown: WireError(rawValue: 108)
        case .other: nil
        }
    }

    /// The number on the wire of the error at a place; 255 for `other`.
    static func number(at place: UInt64) -> UInt64 {
        switch place {
        case 0: 0
        case 1: 1
        case 2: 5
        case 3: 12
        case 4: 22
        case 5: 28
        case 6: 75
        case 7: 95
        case 8: 108
        default: 255
        }
    }

    /// The error's place.
    static func place(of error: WireError) -> Int {
        switch error.rawValue {
        case 0: 0
        case 1: 1
        case 5: 2
        case 12: 3
        case 22: 4
        case 28: 5
        case 75: 6
        case 95: 7
        case 108: 8
        default: 9
        }
    }
}
