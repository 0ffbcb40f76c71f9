/// A server's answers to a few harmless questions.
public struct Offer: Sendable {
    var requiresTLS = false
    var hasTLS = false
    var handshakeFlags: UInt16 = 0
    var hasList = false
    var refusesUnknownNames = false
    var secondExport: String?
    var size: UInt64 = 0
    /// Flags that GO tells with structured replies, where there are some.
    var flags: ExportFlag = []
    /// Flags that GO tells with extended headers and a context, where there are some.
    var extendedFlags: ExportFlag = []
    var hasBlockSizes = false
    var minimumBlockSize: UInt32 = 1
    var maximumPayload: UInt32 = 32 << 20
    var hasStructuredReplies = false
    var hasExtendedHeaders = false
    var hasAllocationContext = false

    /// Asks a server; throws when it does not even lead to the export.
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
        let dialogue = try peer.haggle()
        handshakeFlags = dialogue.handshakeFlags
        let listed = try dialogue.ask(Option.list)
        requiresTLS = listed.end.code == Reply.tlsRequired
        hasTLS = try peer.haggle().ask(Option.startTLS).end.code == Reply.ack
        guard !requiresTLS else { return }
        hasList = listed.end.code == Reply.ack
        // The first one may be what the empty name means, so the last of several it is.
        let names = listed.replies.compactMap(\.exportName)
        secondExport = names.count > 1 && names.last != peer.exportName ? names.last : nil
        let unknown = try dialogue.ask(Option.info, information("no such export, surely"))
        refusesUnknownNames = unknown.end.isError
        hasStructuredReplies = try dialogue.ask(Option.structuredReply).end.code == Reply.ack
        if hasStructuredReplies {
            let contexts = try dialogue.setContexts(["base:allocation"])
            hasAllocationContext = contexts.contexts.contains { $0.name == "base:allocation" }
        }
        hasExtendedHeaders =
            try peer.haggle().ask(Option.extendedHeaders).end.code == Reply.ack
    }

    private func askToGo(
        _ peer: Peer, after prepare: (Dialogue) throws -> Void
    ) throws -> ExportFacts {
        let dialogue = try peer.haggle()
        try prepare(dialogue)
        let answer = try dialogue.ask(
            Option.go, information(peer.exportName, [Information.blockSize]))
        guard let facts = try answer.facts else {
            throw Deviation("the server does not serve the export: \(answer.end)")
        }
        return facts
    }
}
