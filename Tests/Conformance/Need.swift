/// Something that a server may or may not offer, or be.
public enum Need: Sendable, Hashable {
    /// Options are answered without TLS. Every case needs this, unless it is about TLS itself.
    case plaintext
    /// The server wants TLS before anything else.
    case requiredTLS
    /// The server refuses STARTTLS.
    case noTLS
    /// The server does not offer `NBD_FLAG_NO_ZEROES`.
    case zeroesAlways
    /// LIST is not forbidden by policy.
    case list
    /// Names that nobody configured are refused; some servers serve every name.
    case refusedNames
    /// There is a second export.
    case secondExport
    /// The export is at least so large, in bytes.
    case size(UInt64)
    /// The export can be written.
    case writable
    /// The export says that it is read-only.
    case readOnly
    /// Any offset and length is allowed: the minimum block size is 1.
    case anyAlignment
    /// `NBD_INFO_BLOCK_SIZE` is sent.
    case blockSizes
    /// A transmission flag is set.
    case flag(ExportFlag)
    /// A transmission flag is not set.
    case noFlag(ExportFlag)
    /// STRUCTURED_REPLY is acknowledged.
    case structuredReplies
    /// EXTENDED_HEADERS is acknowledged.
    case extendedHeaders
    /// SET_META_CONTEXT selects base:allocation.
    case allocationContext

    func isMet(by offer: Offer, needs: [Need]) -> Bool {
        switch self {
        case .plaintext: !offer.requiresTLS || needs.contains(.requiredTLS)
        case .requiredTLS: offer.requiresTLS
        case .noTLS: !offer.hasTLS
        case .zeroesAlways: offer.handshakeFlags & HandshakeFlag.noZeroes == 0
        case .list: offer.hasList
        case .refusedNames: offer.refusesUnknownNames
        case .secondExport: offer.secondExport != nil
        case .size(let size): offer.size >= size
        case .writable: !offer.flags.contains(.readOnly)
        case .readOnly: offer.flags.contains(.readOnly)
        case .anyAlignment: offer.minimumBlockSize <= 1
        case .blockSizes: offer.hasBlockSizes
        case .flag(let flag): offer.flags.contains(flag) || offer.extendedFlags.contains(flag)
        case .noFlag(let flag): !offer.flags.contains(flag) && !offer.extendedFlags.contains(flag)
        case .structuredReplies: offer.hasStructuredReplies
        case .extendedHeaders: offer.hasExtendedHeaders
        case .allocationContext: offer.hasAllocationContext
        }
    }
}

extension Need: CustomStringConvertible {
    /// What is missing where it is not met.
    public var description: String {
        switch self {
        case .plaintext: "options without TLS"
        case .requiredTLS: "TLS as a must"
        case .noTLS: "no TLS at all"
        case .zeroesAlways: "no NBD_FLAG_NO_ZEROES"
        case .list: "NBD_OPT_LIST"
        case .refusedNames: "names that are refused"
        case .secondExport: "a second export"
        case .size(let size): "\(size >> 20) MiB"
        case .writable: "an export that can be written"
        case .readOnly: "an export that is read-only"
        case .anyAlignment: "a minimum block size of 1"
        case .blockSizes: "NBD_INFO_BLOCK_SIZE"
        case .flag(let flag): "\(flag)"
        case .noFlag(let flag): "no \(flag)"
        case .structuredReplies: "structured replies"
        case .extendedHeaders: "extended headers"
        case .allocationContext: "base:allocation"
        }
    }
}
