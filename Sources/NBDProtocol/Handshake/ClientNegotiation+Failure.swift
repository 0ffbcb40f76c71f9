extension ClientNegotiation {
    /// The reason why a handshake failed.
    public enum Failure: Error, Sendable, Hashable {
        /// The first bytes are not those of an NBD server.
        case notNBD
        /// An NBD server from before 2012, whose handshake has no export names.
        case oldstyle
        /// The server lacks fixed newstyle, so it can open an export, but not list them or negotiate
        /// other messages.
        case notFixedNewstyle
        /// The server replied with an error. The message is empty if the server sent none.
        case refused(OptionCode, OptionReplyCode, message: String)
        /// The server closed the connection after EXPORT_NAME with this name. That is how a server rejects
        /// EXPORT_NAME.
        case exportNameRefused(String)
        /// The server closed the connection during the handshake.
        case closed
        /// A reply does not begin with its magic number.
        case replyMagic
        /// A reply belongs to another option (the second) than the one that was sent (the first).
        case wrongReply(OptionCode, OptionCode)
        /// A reply has a type that does not belong to the option.
        case unexpectedReply(OptionCode, OptionReplyCode)
        /// The data of a reply is malformed.
        case malformedReply(OptionCode)
        /// A reply announces this many bytes of data, more than the client reads.
        case replyLength(UInt32)
        /// The server sent more replies than a handshake may have.
        case tooManyReplies
    }
}

extension ClientNegotiation.Failure: CustomStringConvertible {
    /// One sentence, without a full stop.
    public var description: String {
        switch self {
        case .notNBD:
            "this is not an NBD server: its first bytes belong to another protocol"
        case .oldstyle: "the server supports only the oldstyle handshake, which has no export names"
        case .notFixedNewstyle:
            "the server does not support fixed newstyle negotiation, which this needs"
        case .refused(let option, let code, let message):
            "the server rejected \(option.name): "
                + (message.isEmpty ? code.meaning : Self.printable(message))
        case .exportNameRefused(let name):
            "the server closed the connection; perhaps it has no export \"\(name)\""
        case .closed: "the server closed the connection during the handshake"
        case .replyMagic: "a reply of the server does not begin with its magic number"
        case .wrongReply(let asked, let answered):
            "the client sent \(asked.name), but the server replied to \(answered.name)"
        case .unexpectedReply(let option, let code):
            "the server sent a reply of type \(code.rawValue), which \(option.name) does not have"
        case .malformedReply(let option):
            "the data in the server's reply to \(option.name) is malformed"
        case .replyLength(let length):
            "a reply of the server announces \(length) bytes of data; "
                + "the limit is \(Limits.optionReplyData)"
        case .tooManyReplies: "the server sent more than \(Limits.optionReplyCount) replies"
        }
    }

    /// Replaces control characters, since the text comes from the server and may be shown on a
    /// terminal.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
    }
}

extension OptionReplyCode {
    /// The meaning of an error, for a server that sends no message. A clause about the server.
    var meaning: String {
        switch self {
        case .unsupported: "it does not support this option"
        case .policy: "its policy forbids it"
        case .invalid: "it considers the request invalid"
        case .platform: "its platform does not support it"
        case .tlsRequired: "it requires TLS first"
        case .unknownExport: "it has no such export"
        case .shutdown: "it is stopping"
        case .blockSizeRequired: "it requires clients that respect its block sizes"
        case .tooBig: "the request is too long"
        default: "error \(rawValue & 0x7fff_ffff)"
        }
    }
}

extension OptionCode {
    /// The option's name in the specification, or its value for an unknown option.
    var name: String {
        switch self {
        case .exportName: "NBD_OPT_EXPORT_NAME"
        case .abort: "NBD_OPT_ABORT"
        case .list: "NBD_OPT_LIST"
        case .startTLS: "NBD_OPT_STARTTLS"
        case .info: "NBD_OPT_INFO"
        case .go: "NBD_OPT_GO"
        case .structuredReply: "NBD_OPT_STRUCTURED_REPLY"
        case .listMetaContext: "NBD_OPT_LIST_META_CONTEXT"
        case .setMetaContext: "NBD_OPT_SET_META_CONTEXT"
        case .extendedHeaders: "NBD_OPT_EXTENDED_HEADERS"
        default: "option \(rawValue)"
        }
    }
}
