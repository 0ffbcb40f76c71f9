/// What a server offers, as its replies to a few harmless options show.
public struct Offer: Sendable {
    var requiresTLS = false
    var hasTLS = false
    var handshakeFlags: UInt16 = 0
    var hasList = false
    var refusesUnknownNames = false
    var secondExport: String?
    var size: UInt64 = 0
    /// The flags in the reply to GO, with structured replies if the server supports them.
    var flags: ExportFlag = []
    /// The flags in the reply to GO with extended headers and a context, if the server supports them.
    var extendedFlags: ExportFlag = []
    var hasBlockSizes = false
    var minimumBlockSize: UInt32 = 1
    var maximumPayload: UInt32 = 32 << 20
    var hasStructuredReplies = false
    var hasExtendedHeaders = false
    var hasAllocationContext = false
    /// The contexts that LIST_META_CONTEXT names, without wildcards.
    var contexts: [String] = []

    /// Queries a server. Throws if the handshake does not lead to the export.
    init(askedOf peer: Peer) throws {
        try askForOptions(peer)
        guard !requiresTLS else { return }
        let plain = try askToGo(peer) { _ in }
        size = plain.size
        flags = plain.flags
        hasBlockSizes = plain.blockSizes != nil
        minimumBlockSize = plain.blockSizes?.minimum ?? 1
        maximumPayload = plain.blockSizes?.maximumPayload ?? 32 << 20
        if hasStructuredReplies {
            let facts = try askToGo(peer) { dialogue in
                _ = try dialogue.ask(Option.structuredReply)
            }
            flags = facts.flags
        }
        if hasExtendedHeaders {
            let facts = try askToGo(peer) { dialogue in
                _ = try dialogue.ask(Option.extendedHeaders)
                _ = try dialogue.setContexts(["base:allocation"])
            }
            extendedFlags = facts.flags
        }
    }

    private mutating func askForOptions(_ peer: Peer) throws {
        let dialogue = try peer.beginOptions()
        handshakeFlags = dialogue.handshakeFlags
        let listed = try dialogue.ask(Option.list)
        requiresTLS = listed.end.code == Reply.tlsRequired
        hasTLS = try peer.beginOptions().ask(Option.startTLS).end.code == Reply.ack
        guard !requiresTLS else { return }
        hasList = listed.end.code == Reply.ack
        // The first export may be the default one, so use the last of several.
        let names = listed.replies.compactMap(\.exportName)
        secondExport = names.count > 1 && names.last != peer.exportName ? names.last : nil
        let unknown = try dialogue.ask(Option.info, information("no such export, surely"))
        refusesUnknownNames = unknown.end.isError
        hasStructuredReplies = try dialogue.ask(Option.structuredReply).end.code == Reply.ack
        if hasStructuredReplies {
            let selected = try dialogue.setContexts(["base:allocation"])
            hasAllocationContext = selected.contexts.contains { $0.name == "base:allocation" }
            contexts = try dialogue.ask(
                Option.listMetaContext, contextQuery(peer.exportName, [])
            ).contexts.map(\.name).filter { !$0.hasSuffix(":") }
        }
        hasExtendedHeaders =
            try peer.beginOptions().ask(Option.extendedHeaders).end.code == Reply.ack
    }

    private func askToGo(
        _ peer: Peer, after prepare: (Dialogue) throws -> Void
    ) throws -> ExportFacts {
        let dialogue = try peer.beginOptions()
        try prepare(dialogue)
        let answer = try dialogue.ask(
            Option.go, information(peer.exportName, [Information.blockSize]))
        guard let facts = try answer.facts else {
            throw Deviation("the server does not serve the export: \(answer.end)")
        }
        return facts
    }
}
