internal import LinuxIO
public import NBDProtocol
internal import SystemPackage

/// A server to test, by its URI.
public struct Peer: Sendable {
    /// The URI of the server and its export.
    public let uri: NBDURI
    /// How messages to the server are split.
    public let cut: Cut
    /// Seconds after which a silent server is given up.
    public let patience: Int
    private var knownOffer: Offer?
    private let addresses: [SocketAddress]

    /// Connects a few times to find out what the server offers. Throws if it does not serve the export.
    public init(_ uri: NBDURI, cut: Cut = .whole, patience: Int = 10) throws {
        self.uri = uri
        self.patience = patience
        self.cut = cut
        switch uri.transport {
        case .tcp(let host, let port):
            addresses = try SocketAddress.resolve(host: host, port: port)
        case .unix(let path):
            guard let address = SocketAddress.unix(path: path) else {
                throw Deviation("\(path) is too long for the path of a Unix socket")
            }
            addresses = [address]
        }
        knownOffer = try Offer(askedOf: self)
    }

    /// Name of the export.
    var exportName: String { uri.exportName }

    /// What the server offers.
    var offer: Offer {
        guard let knownOffer else { preconditionFailure("the offer is not known yet") }
        return knownOffer
    }

    /// Connects and reads the greeting.
    func connect() throws -> Dialogue {
        var lastError = Errno.connectionRefused
        for address in addresses {
            do {
                let socket = try StreamSocket.connect(to: address)
                return try Dialogue(
                    Channel(socket, cut: cut, patience: patience), exportName: exportName)
            } catch let error as Errno {
                lastError = error
            }
        }
        throw Deviation("cannot connect to the server: \(lastError)")
    }

    /// Connects and sends client flags; by default those that the server offers.
    func beginOptions(flags: UInt32? = nil) throws -> Dialogue {
        let dialogue = try connect()
        try dialogue.sendFlags(flags ?? UInt32(dialogue.handshakeFlags & 3))
        return dialogue
    }

    /// Connects and performs the handshake up to the transmission phase.
    func transmit(
        _ mode: Mode = .simple, export: String? = nil, contexts: [String] = [],
        ask: [UInt16] = [Information.blockSize]
    ) throws -> Dialogue {
        let dialogue = try beginOptions()
        try dialogue.negotiate(mode)
        if !contexts.isEmpty { _ = try dialogue.setContexts(contexts) }
        try dialogue.go(export ?? exportName, ask: ask)
        return dialogue
    }
}

/// The message format of the transmission phase.
public enum Mode: String, Sendable, CaseIterable {
    /// Compact requests, simple replies.
    case simple
    /// Compact requests, structured replies.
    case structured
    /// Extended requests and replies.
    case extended

    /// What a server must offer for the mode.
    var needs: [Need] {
        switch self {
        case .simple: []
        case .structured: [.structuredReplies]
        case .extended: [.extendedHeaders]
        }
    }
}
