/// A feature or property that a server may have.
public enum Need: Sendable, Hashable {
    /// The server replies to options without TLS. Every case needs this, unless it is about TLS.
    case plaintext
    /// The server requires TLS.
    case requiredTLS
    /// The server does not support TLS.
    case noTLS
    /// The server does not offer `NBD_FLAG_NO_ZEROES`.
    case zeroesAlways
    /// The server's policy permits LIST.
    case list
    /// The server rejects unknown names. Some servers serve every name.
    case refusedNames
    /// There is a second export.
    case secondExport
    /// The export has at least this size in bytes.
    case size(UInt64)
    /// The export is writable.
    case writable
    /// The export is read-only.
    case readOnly
    /// Any offset and length is allowed: the minimum block size is 1.
    case anyAlignment
    /// The server sends `NBD_INFO_BLOCK_SIZE`.
    case blockSizes
    /// A transmission flag is set.
    case flag(ExportFlag)
    /// A transmission flag is not set.
    case noFlag(ExportFlag)
    /// The server acknowledges STRUCTURED_REPLY.
    case structuredReplies
    /// The server acknowledges EXTENDED_HEADERS.
    case extendedHeaders
    /// SET_META_CONTEXT selects base:allocation.
    case allocationContext
    /// LIST_META_CONTEXT names more than one context, wildcards not counted.
    case severalContexts

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
        case .severalContexts: offer.contexts.count > 1
        }
    }
}

extension Need: CustomStringConvertible {
    /// What the server lacks if the need is not met.
    public var description: String {
        switch self {
        case .plaintext: "options without TLS"
        case .requiredTLS: "required TLS"
        case .noTLS: "no TLS at all"
        case .zeroesAlways: "no NBD_FLAG_NO_ZEROES"
        case .list: "NBD_OPT_LIST"
        case .refusedNames: "rejection of unknown names"
        case .secondExport: "a second export"
        case .size(let size): "\(size >> 20) MiB"
        case .writable: "a writable export"
        case .readOnly: "a read-only export"
        case .anyAlignment: "a minimum block size of 1"
        case .blockSizes: "NBD_INFO_BLOCK_SIZE"
        case .flag(let flag): "\(flag)"
        case .noFlag(let flag): "no \(flag)"
        case .structuredReplies: "structured replies"
        case .extendedHeaders: "extended headers"
        case .allocationContext: "base:allocation"
        case .severalContexts: "a second metadata context"
        }
    }
}
