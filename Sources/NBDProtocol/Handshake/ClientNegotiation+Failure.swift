// Why a client got no export, in words for the person who asked for it.

extension ClientNegotiation {
    /// Why a handshake came to nothing.
    public enum Failure: Error, Sendable, Hashable {
        /// The first bytes are not those of an NBD server.
        case notNBD
        /// An NBD server from before 2012, which cannot be asked for an export.
        case oldstyle
        /// The server can only be asked for an export, not for a list.
        case notFixedNewstyle
        /// The server said no, and perhaps why; the message is empty when it did not say.
        case refused(OptionCode, OptionReplyCode, message: String)
        /// The server closed the connection when it was asked for the export of this name, which is
        /// how EXPORT_NAME is refused.
        case exportNameRefused(String)
        /// The server closed the connection in the middle of the handshake.
        case closed
        /// A reply that does not begin with its magic number.
        case replyMagic
        /// A reply to another option than the one that was asked.
        case wrongReply(OptionCode, OptionCode)
        /// A reply of a kind that does not belong to the option.
        case unexpectedReply(OptionCode, OptionReplyCode)
        /// A reply whose data is not as it must be.
        case malformedReply(OptionCode)
        /// A reply that claims so many bytes of data that they are not read.
        case replyLength(UInt32)
        /// More replies than a handshake may have.
        case tooManyReplies
    }
}

extension ClientNegotiation.Failure: CustomStringConvertible {
    /// One sentence, without a full stop.
    public var description: String {
        switch self {
        case .notNBD: "this is no NBD server: its greeting is that of another protocol"
        case .oldstyle: "the server speaks only the oldstyle handshake, which has no exports"
        case .notFixedNewstyle: "the server cannot list its exports: it lacks fixed newstyle"
        case .refused(let option, let code, let message):
            "the server refused \(option.name): "
                + (message.isEmpty ? code.meaning : Self.printable(message))
        case .exportNameRefused(let name):
            "the server closed the connection: it may have no export \"\(name)\""
        case .closed: "the server closed the connection during the handshake"
        case .replyMagic: "a reply of the server does not begin with its magic number"
        case .wrongReply(let asked, let answered):
            "the server was asked \(asked.name) and answered \(answered.name)"
        case .unexpectedReply(let option, let code):
            "the server answered \(option.name) with a reply of type \(code.rawValue)"
        case .malformedReply(let option):
            "the server's answer to \(option.name) has data that is not as it must be"
        case .replyLength(let length): "a reply of the server claims \(length) bytes of data"
        case .tooManyReplies: "the server sends replies without an end"
        }
    }

    /// A stranger's text on somebody's terminal: without what could move the cursor.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
    }
}

extension OptionReplyCode {
    /// What an error means, for when the server does not say.
    var meaning: String {
        switch self {
        case .unsupported: "it does not know this option"
        case .policy: "its policy forbids it"
        case .invalid: "it finds the request invalid"
        case .platform: "its platform cannot do it"
        case .tlsRequired: "it wants TLS first"
        case .unknownExport: "it has no such export"
        case .shutdown: "it is being stopped"
        case .blockSizeRequired: "it wants the client to heed its block sizes"
        case .tooBig: "the request is too long for it"
        default: "error \(rawValue & 0x7fff_ffff)"
        }
    }
}

extension OptionCode {
    /// Its name in the specification.
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
