// The server's half of the handshake as a state machine that does no input or output.
//
// Its driver does what `Step` says: send the output, then read exactly so many bytes, or throw so
// many away, and come back with what it read. Never a byte more than the step asked for is taken
// from the connection, so nothing that a client sends ahead of time can be taken for something else.

/// Negotiates one connection, from the greeting to the choice of an export.
public struct ServerNegotiation: Sendable {
    /// What the driver has to do next, in this order.
    public struct Step: Sendable, Hashable {
        /// Bytes to send first; may be empty.
        public var output: [UInt8] = []
        /// What to do then.
        public var next: Next
    }

    /// What follows a step's output.
    public enum Next: Sendable, Hashable {
        /// Read exactly so many bytes (at least one), and hand them to ``ServerNegotiation/receive(_:)``.
        case receive(Int)
        /// Read so many bytes and throw them away, then call ``ServerNegotiation/discarded()``.
        case discard(Int)
        /// Start TLS as its server, then call ``ServerNegotiation/secured()``. If that fails, close
        /// the connection: there is no way back.
        case startTLS
        /// The handshake is over: serve what was agreed on. If that cannot be done after all, do not
        /// send the output, but call ``ServerNegotiation/withdrawn()``.
        case serve(NegotiatedSession)
        /// Close the connection: the client asked to.
        case finish
        /// Close the connection: the client cannot have what it wants, has done nothing wrong, and has
        /// asked in a way that leaves no room for an answer.
        case turnAway(Obstacle)
        /// Close the connection: the client broke the protocol, in the way that is told.
        case fail(Violation)
    }

    /// What both sides will keep to once the handshake is over.
    public struct NegotiatedSession: Sendable, Hashable {
        /// Index of the export that was chosen.
        public var export: Int
        /// The messages to speak.
        public var format: HeaderFormat
        /// Whether `base:allocation` was chosen for this export.
        public var hasContext: Bool
    }

    /// Why a handshake was ended by the server.
    public enum Violation: Error, Sendable, Hashable {
        /// A flag that does not exist or was not offered.
        case clientFlags(UInt32)
        /// An option that does not begin with "IHAVEOPT".
        case optionMagic
        /// More options than a handshake may have.
        case tooManyOptions
        /// Option data so long that it is not even read away.
        case optionLength(UInt32)
        /// EXPORT_NAME, which cannot be told no, with a name that is unknown or no valid string.
        case exportName
        /// EXPORT_NAME in plain text, while the server wants TLS.
        case exportNameWithoutTLS
        /// EXPORT_NAME after extended headers, which do not go with it.
        case exportNameAfterExtendedHeaders
    }

    /// Why a client cannot have an export that is there.
    public enum Obstacle: Sendable, Hashable {
        /// The server is being stopped.
        case shuttingDown
        /// The driver has withdrawn what was agreed on.
        case withdrawn
    }

    /// What the next bytes are.
    private enum State: Sendable {
        case clientFlags
        case optionHeader
        case optionData(OptionHeader)
        case oversizeData(OptionHeader)
        case chosen(OptionHeader)
        case over
    }

    private let exports: [ExportInfo]
    private let tls: TLSPolicy
    /// Whether TLS has been started.
    private var isSecure = false
    private var state = State.clientFlags
    private var clientFlags: ClientFlags = []
    private var optionCount = 0
    private var format = HeaderFormat.simple
    /// Index of the export for which `base:allocation` was chosen last.
    private var contextExport: Int?

    /// Set when the server is being stopped: every further option but ABORT is refused.
    public var isShuttingDown = false

    /// Whether an option was refused because it came before TLS.
    public private(set) var wantedTLS = false

    /// A handshake about these exports. The first of them also answers to the empty name, which
    /// means "the default export".
    public init(exports: [ExportInfo], tls: TLSPolicy = .off) {
        self.exports = exports
        self.tls = tls
    }

    /// The server speaks first.
    public func start() -> Step {
        let greeting = Greeting(flags: [.fixedNewstyle, .noZeroes])
        return Step(output: greeting.encoded, next: .receive(ClientFlags.encodedSize))
    }

    /// Takes the bytes that the last step asked for, exactly as many.
    public mutating func receive(_ bytes: [UInt8]) -> Step {
        switch state {
        case .clientFlags: receiveClientFlags(bytes)
        case .optionHeader: receiveOptionHeader(bytes)
        case .optionData(let header): answer(header, bytes)
        case .oversizeData, .chosen, .over:
            preconditionFailure("the last step asked for no bytes")
        }
    }

    /// Goes on after the bytes that the last step wanted thrown away are gone.
    public mutating func discarded() -> Step {
        guard case .oversizeData(let header) = state else {
            preconditionFailure("the last step wanted nothing thrown away")
        }
        return answer(header, refusal: needsTLS(header) ? .tlsRequired : .tooBig)
    }

    /// Goes on after the TLS that the last step wanted has been started. Of what was negotiated before
    /// nothing is left, since it may have come from somebody else; only the limit on options counts on.
    public mutating func secured() -> Step {
        var next = ServerNegotiation(exports: exports, tls: tls)
        next.isSecure = true
        next.clientFlags = clientFlags
        next.optionCount = optionCount
        next.isShuttingDown = isShuttingDown
        self = next
        return awaitOption()
    }

    /// Goes on when the export that was chosen last cannot be served at this moment. The client is told
    /// so and may ask again; after EXPORT_NAME all there is to do is to close.
    public mutating func withdrawn() -> Step {
        guard case .chosen(let header) = state else {
            preconditionFailure("the last step chose no export")
        }
        guard header.code != .exportName else { return turnAway(.withdrawn) }
        let explanation = "the server has as many clients as it may have; try again later"
        return awaitOption(after: reply(header, .policy, Array(explanation.utf8)))
    }

    // MARK: - Before the options

    private mutating func receiveClientFlags(_ bytes: [UInt8]) -> Step {
        // Sound, here and below: bytes have no padding that a raw span could show.
        let flags = ClientFlags(rawValue: unsafe bytes.span.bytes.bigEndian(at: 0))
        guard flags.subtracting([.fixedNewstyle, .noZeroes]).isEmpty else {
            return fail(.clientFlags(flags.rawValue))
        }
        clientFlags = flags
        return awaitOption()
    }

    private mutating func awaitOption(after output: [UInt8] = []) -> Step {
        state = .optionHeader
        return Step(output: output, next: .receive(OptionHeader.encodedSize))
    }

    private mutating func receiveOptionHeader(_ bytes: [UInt8]) -> Step {
        guard let header = OptionHeader(decoding: unsafe bytes.span.bytes) else {
            return fail(.optionMagic)
        }
        // What was chosen before is gone, however this option ends.
        if header.code == .setMetaContext { contextExport = nil }
        optionCount += 1
        guard optionCount <= Limits.optionCount(exports: exports.count) else {
            return fail(.tooManyOptions)
        }
        let length = Int(header.length)
        if length == 0 { return answer(header, []) }
        if length > Limits.optionDataKept {
            // EXPORT_NAME and ABORT have no use for an error; nobody waits for the rest.
            guard length <= Limits.optionDataDrained, header.code != .exportName else {
                return fail(.optionLength(header.length))
            }
            state = .oversizeData(header)
            return Step(next: .discard(length))
        }
        state = .optionData(header)
        return Step(next: .receive(length))
    }

    // MARK: - Options

    /// Answers an option whose data has been read. Clients that did not agree to fixed newstyle are
    /// answered all the same, which the specification allows.
    private mutating func answer(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        if header.code == .abort { return abort(header) }
        if needsTLS(header) { return answer(header, refusal: .tlsRequired) }
        if isShuttingDown { return answer(header, refusal: .shutdown) }
        return switch header.code {
        case .exportName: answerExportName(header, data)
        case .list: answerList(header, data)
        case .info, .go: answerInfo(header, data)
        case .structuredReply, .extendedHeaders: answerFormat(header, data)
        case .listMetaContext: answerListMetadata(header, data)
        case .setMetaContext: answerSetMetadata(header, data)
        // It has no data, also where it is not supported.
        case .startTLS where !data.isEmpty: answer(header, refusal: .invalid)
        case .startTLS: answerStartTLS(header)
        default: answer(header, refusal: .unsupported)
        }
    }

    /// Whether an option has to wait for TLS. EXPORT_NAME cannot be told so, and ends the connection.
    private func needsTLS(_ header: OptionHeader) -> Bool {
        tls == .required && !isSecure && header.code != .startTLS && header.code != .abort
    }

    private mutating func answerStartTLS(_ header: OptionHeader) -> Step {
        if tls == .off { return answer(header, refusal: .unsupported) }
        if isSecure { return answer(header, refusal: .invalid) }
        // Clients have to agree to fixed newstyle before they may ask for it.
        guard clientFlags.contains(.fixedNewstyle) else { return answer(header, refusal: .policy) }
        return Step(output: reply(header, .ack), next: .startTLS)
    }

    private mutating func abort(_ header: OptionHeader) -> Step {
        state = .over
        return Step(output: reply(header, .ack), next: .finish)
    }

    private mutating func answerExportName(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        var reader = ByteReader(data)
        guard let name = reader.string(data.count), let index = exportIndex(named: name) else {
            return fail(.exportName)
        }
        guard format != .extended else { return fail(.exportNameAfterExtendedHeaders) }
        state = .chosen(header)
        let zeroes = !clientFlags.contains(.noZeroes)
        return Step(
            output: info(index).exportNameReply(zeroes: zeroes), next: .serve(agreement(index)))
    }

    private mutating func answerList(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard data.isEmpty else { return answer(header, refusal: .invalid) }
        let entries = exports.flatMap { reply(header, .server, $0.listEntry) }
        return awaitOption(after: entries + reply(header, .ack))
    }

    private mutating func answerInfo(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard let request = InfoRequest(decoding: data) else {
            return answer(header, refusal: .invalid)
        }
        guard let index = exportIndex(named: request.exportName) else {
            return answer(header, refusal: .unknownExport)
        }
        // Size and flags come always, and first; the rest when asked for, each once.
        var output: [UInt8] = []
        for type in [.export, .name, .description, .blockSize] as [InfoType]
        where type == .export || request.types.contains(type) {
            guard let information = info(index).information(type) else { continue }
            output += reply(header, .info, information)
        }
        output += reply(header, .ack)
        guard header.code == .go else { return awaitOption(after: output) }
        state = .chosen(header)
        return Step(output: output, next: .serve(agreement(index)))
    }

    /// STRUCTURED_REPLY and EXTENDED_HEADERS; the second takes the place of the first, never the
    /// other way round. Extended headers that are asked for twice are an error, as they are for qemu.
    private mutating func answerFormat(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard data.isEmpty else { return answer(header, refusal: .invalid) }
        if header.code == .extendedHeaders {
            guard format != .extended else {
                return awaitOption(
                    after: reply(
                        header, .invalid, Array("extended headers have been agreed on".utf8)))
            }
            format = .extended
        } else {
            guard format != .extended else {
                return answer(header, refusal: .extendedHeaderRequired)
            }
            format = .structured
        }
        return awaitOption(after: reply(header, .ack))
    }

    // MARK: - Metadata contexts

    private mutating func answerListMetadata(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard format != .simple, let request = MetadataRequest(decoding: data) else {
            return answer(header, refusal: .invalid)
        }
        guard exportIndex(named: request.exportName) != nil else {
            return answer(header, refusal: .unknownExport)
        }
        // In a list the number means nothing.
        let context = request.listsAllocation ? metadataContext(header, identifier: 0) : []
        return awaitOption(after: context + reply(header, .ack))
    }

    private mutating func answerSetMetadata(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard format != .simple, let request = MetadataRequest(decoding: data) else {
            return answer(header, refusal: .invalid)
        }
        guard let index = exportIndex(named: request.exportName) else {
            return answer(header, refusal: .unknownExport)
        }
        guard request.selectsAllocation else { return awaitOption(after: reply(header, .ack)) }
        contextExport = index
        let context = metadataContext(header, identifier: MetadataContext.allocationIdentifier)
        return awaitOption(after: context + reply(header, .ack))
    }

    private func metadataContext(_ header: OptionHeader, identifier: UInt32) -> [UInt8] {
        var data: [UInt8] = []
        data.append(bigEndian: identifier)
        return reply(header, .metaContext, data + Array(MetadataContext.allocation.utf8))
    }

    // MARK: - Helpers

    /// An export as this client sees it, with what has been agreed on so far.
    private func info(_ index: Int) -> ExportInfo {
        var flags: TransmissionFlags = []
        if format != .simple { flags.insert(.dontFragment) }
        if format == .extended, contextExport == index { flags.insert(.blockStatusPayload) }
        return exports[index].adding(flags)
    }

    private func agreement(_ index: Int) -> NegotiatedSession {
        NegotiatedSession(export: index, format: format, hasContext: contextExport == index)
    }

    private func exportIndex(named name: String) -> Int? {
        if let index = exports.firstIndex(where: { $0.name.utf8.elementsEqual(name.utf8) }) {
            return index
        }
        return name.isEmpty ? exports.indices.first : nil
    }

    private mutating func answer(_ header: OptionHeader, refusal: OptionReplyCode) -> Step {
        if refusal == .tlsRequired { wantedTLS = true }
        return switch header.code {
        case .exportName where refusal == .tlsRequired: fail(.exportNameWithoutTLS)
        case .exportName: turnAway(.shuttingDown)
        case .abort: abort(header)
        default: awaitOption(after: reply(header, refusal, Array(refusal.explanation.utf8)))
        }
    }

    private mutating func turnAway(_ obstacle: Obstacle) -> Step {
        state = .over
        return Step(next: .turnAway(obstacle))
    }

    private mutating func fail(_ violation: Violation) -> Step {
        state = .over
        return Step(next: .fail(violation))
    }

    private func reply(
        _ header: OptionHeader, _ code: OptionReplyCode, _ data: [UInt8] = []
    ) -> [UInt8] {
        OptionReplyHeader(option: header.code, code: code, length: UInt32(data.count)).encoded
            + data
    }
}

extension OptionReplyCode {
    /// The text for people that an error reply carries.
    var explanation: String {
        switch self {
        case .unsupported: "this server does not know this option"
        case .invalid: "the data of this option is not as it must be"
        case .unknownExport: "there is no export of this name; NBD_OPT_LIST tells their names"
        case .policy: "NBD_OPT_STARTTLS is for clients that agreed to fixed newstyle negotiation"
        case .tlsRequired: "this server wants TLS: NBD_OPT_STARTTLS has to come first"
        case .shutdown: "the server is being stopped"
        case .extendedHeaderRequired: "extended headers have been agreed on, and take precedence"
        case .tooBig: "the data of this option is over \(Limits.optionDataKept) bytes long"
        default: ""
        }
    }
}
