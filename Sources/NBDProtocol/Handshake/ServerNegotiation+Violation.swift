// What clients do wrong in the handshake, in words.

extension ServerNegotiation.Violation: CustomStringConvertible {
    /// One sentence for the log.
    public var description: String {
        switch self {
        case .clientFlags(let flags):
            "client flags 0x\(String(flags, radix: 16)) have bits that were not offered"
        case .optionMagic: "an option does not begin with its magic number"
        case .tooManyOptions: "more options than a client has use for"
        case .optionLength(let length): "an option claims \(length) bytes of data"
        case .exportName: "NBD_OPT_EXPORT_NAME names no export of this server"
        case .exportNameWithoutTLS: "NBD_OPT_EXPORT_NAME without TLS, which this server requires"
        case .exportNameAfterExtendedHeaders:
            "NBD_OPT_EXPORT_NAME does not go with extended headers; NBD_OPT_GO does"
        }
    }
}
