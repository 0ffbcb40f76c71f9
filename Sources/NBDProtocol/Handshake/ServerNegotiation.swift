/// The server's half of the handshake, from the greeting to the choice of an export.
///
/// This is a state machine without input or output of its own. Its driver begins with ``start()`` and
/// follows each ``Step``: it sends the output and then performs the action. The driver never reads more
/// bytes from the connection than a step asks for. Bytes that a client sends ahead of time, before TLS
/// for example, can therefore not be mistaken for something else.
public struct ServerNegotiation: Sendable {
    /// The next actions of the driver, in this order.
    public struct Step: Sendable, Hashable {
        /// The bytes to send first; may be empty.
        public var output: [UInt8] = []
        /// The action after that.
        public var action: Action
    }

    /// The action of the driver after it has sent a step's output.
    public enum Action: Sendable, Hashable {
        /// Read exactly this many bytes, at least one, and pass them to
        /// ``ServerNegotiation/receive(_:)``.
        case receive(Int)
        /// Read and discard exactly this many bytes, then call ``ServerNegotiation/didDiscard()``.
        case discard(Int)
        /// Start TLS as its server, then call ``ServerNegotiation/didStartTLS()``. If that fails, close
        /// the connection: the handshake cannot continue in plain text.
        case startTLS
        /// The handshake is over: serve the session. If the driver cannot serve it after all, it does
        /// not send the output, but calls ``ServerNegotiation/didRejectExport()``.
        case serve(NegotiatedSession)
        /// Close the connection: the client asked for it with ABORT.
        case finish
        /// Close the connection: the server cannot serve the export, and the option (EXPORT_NAME) has no
        /// error reply. The client did nothing wrong.
        case reject(Rejection)
        /// Close the connection: the client broke the protocol.
        case fail(ProtocolError)
    }

    /// The agreement of both sides for the transmission phase.
    public struct NegotiatedSession: Sendable, Hashable {
        /// Index of the export that the client chose.
        public var export: Int
        /// The message format.
        public var format: HeaderFormat
        /// The contexts that the client selected for this export.
        public var contexts: ContextSet
    }

    /// The way in which a client broke the protocol.
    public enum ProtocolError: Error, Sendable, Hashable {
        /// The client set a flag that does not exist or that the server did not offer.
        case clientFlags(UInt32)
        /// An option does not begin with "IHAVEOPT".
        case optionMagic
        /// The client sent more options than a handshake may have.
        case tooManyOptions
        /// An option announces more data than the server is willing to discard.
        case optionLength(UInt32)
        /// EXPORT_NAME with a name that is unknown or invalid. The option has no error reply.
        case exportName
        /// EXPORT_NAME without TLS, which the server requires.
        case exportNameWithoutTLS
        /// EXPORT_NAME after extended headers, with which it cannot be used.
        case exportNameAfterExtendedHeaders
    }

    /// The reason why a server cannot serve an export that exists.
    public enum Rejection: Sendable, Hashable {
        /// The server is stopping.
        case shuttingDown
        /// The driver called ``ServerNegotiation/didRejectExport()``.
        case exportRejected
    }

    /// The kind of the next received bytes.
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
    /// Whether the connection uses TLS.
    private var isSecure = false
    private var state = State.clientFlags
    private var clientFlags: ClientFlags = []
    private var optionCount = 0
    private var format = HeaderFormat.simple
    /// The index of the export for which the client last selected contexts, and those contexts.
    private var selection: (export: Int, contexts: ContextSet)?

    /// Whether the server is stopping. The driver sets it; the server then rejects every option except
    /// ABORT.
    public var isShuttingDown = false

    /// Whether the server has rejected an option because the client had not started TLS.
    public private(set) var didRequireTLS = false

    /// Creates a handshake for these exports. The first one is also the default export, which clients
    /// open with the empty name.
    public init(exports: [ExportInfo], tls: TLSPolicy = .off) {
        self.exports = exports
        self.tls = tls
    }

    /// Returns the first step: the server sends its greeting.
    public func start() -> Step {
        let greeting = Greeting(flags: [.fixedNewstyle, .noZeroes])
        return Step(output: greeting.encoded, action: .receive(ClientFlags.encodedSize))
    }

    /// Continues with the bytes that the last step asked for, exactly as many.
    public mutating func receive(_ bytes: [UInt8]) -> Step {
        switch state {
        case .clientFlags: receiveClientFlags(bytes)
        case .optionHeader: receiveOptionHeader(bytes)
        case .optionData(let header): handle(header, bytes)
        case .oversizeData, .chosen, .over:
            preconditionFailure("the last step asked for no bytes")
        }
    }

    /// Continues after the driver has discarded the bytes that the last step told it to.
    public mutating func didDiscard() -> Step {
        guard case .oversizeData(let header) = state else {
            preconditionFailure("the last step was not to discard bytes")
        }
        return refuse(header, needsTLS(header) ? .tlsRequired : .tooBig)
    }

    /// Continues after the driver has started TLS. Everything negotiated before is dropped, since an
    /// attacker may have injected it. Only the client flags and the count of options remain.
    public mutating func didStartTLS() -> Step {
        var next = ServerNegotiation(exports: exports, tls: tls)
        next.isSecure = true
        next.clientFlags = clientFlags
        next.optionCount = optionCount
        next.isShuttingDown = isShuttingDown
        self = next
        return awaitOption()
    }

    /// Continues if the driver cannot serve the session of the last step at this moment. The server replies
    /// to GO with `NBD_REP_ERR_POLICY`, and the client may retry. EXPORT_NAME has no error reply, so the
    /// connection ends.
    public mutating func didRejectExport() -> Step {
        guard case .chosen(let header) = state else {
            preconditionFailure("the last step did not serve a session")
        }
        guard header.code != .exportName else { return reject(.exportRejected) }
        let explanation = "the server has reached its limit of clients; try again later"
        return awaitOption(after: reply(header, .policy, Array(explanation.utf8)))
    }

    // MARK: - Before the options

    private mutating func receiveClientFlags(_ bytes: [UInt8]) -> Step {
        // Sound, here and below: bytes have no padding that a raw span could expose.
        let flags = ClientFlags(rawValue: unsafe bytes.span.bytes.bigEndian(at: 0))
        guard flags.subtracting([.fixedNewstyle, .noZeroes]).isEmpty else {
            return fail(.clientFlags(flags.rawValue))
        }
        clientFlags = flags
        return awaitOption()
    }

    private mutating func awaitOption(after output: [UInt8] = []) -> Step {
        state = .optionHeader
        return Step(output: output, action: .receive(OptionHeader.encodedSize))
    }

    private mutating func receiveOptionHeader(_ bytes: [UInt8]) -> Step {
        guard let header = OptionHeader(decoding: unsafe bytes.span.bytes) else {
            return fail(.optionMagic)
        }
        // A SET_META_CONTEXT drops the earlier selection, even if it fails.
        if header.code == .setMetaContext { selection = nil }
        optionCount += 1
        guard optionCount <= Limits.optionCount(exports: exports.count) else {
            return fail(.tooManyOptions)
        }
        let length = Int(header.length)
        if length == 0 { return handle(header, []) }
        if length > Limits.optionDataKept {
            // EXPORT_NAME has no error reply, so there is no reason to discard its data.
            guard length <= Limits.optionDataDrained, header.code != .exportName else {
                return fail(.optionLength(header.length))
            }
            state = .oversizeData(header)
            return Step(action: .discard(length))
        }
        state = .optionData(header)
        return Step(action: .receive(length))
    }

    // MARK: - Options

    /// Handles an option whose data has been read. The server also replies to clients that did not
    /// negotiate fixed newstyle, which the specification allows.
    private mutating func handle(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        if header.code == .abort { return abort(header) }
        if needsTLS(header) { return refuse(header, .tlsRequired) }
        if isShuttingDown { return refuse(header, .shutdown) }
        return switch header.code {
        case .exportName: handleExportName(header, data)
        case .list: handleList(header, data)
        case .info, .go: handleInfo(header, data)
        case .structuredReply, .extendedHeaders: handleFormat(header, data)
        case .listMetaContext: handleListMetadata(header, data)
        case .setMetaContext: handleSetMetadata(header, data)
        // Data is an error even if the server does not support TLS.
        case .startTLS where !data.isEmpty: refuse(header, .invalid)
        case .startTLS: handleStartTLS(header)
        default: refuse(header, .unsupported)
        }
    }

    /// Returns whether the client must start TLS before this option. For EXPORT_NAME, which has no error
    /// reply, the connection then ends.
    private func needsTLS(_ header: OptionHeader) -> Bool {
        tls == .required && !isSecure && header.code != .startTLS && header.code != .abort
    }

    private mutating func handleStartTLS(_ header: OptionHeader) -> Step {
        if tls == .off { return refuse(header, .unsupported) }
        if isSecure { return refuse(header, .invalid) }
        // A client must negotiate fixed newstyle before it may send STARTTLS.
        guard clientFlags.contains(.fixedNewstyle) else { return refuse(header, .policy) }
        return Step(output: reply(header, .ack), action: .startTLS)
    }

    private mutating func abort(_ header: OptionHeader) -> Step {
        state = .over
        return Step(output: reply(header, .ack), action: .finish)
    }

    private mutating func handleExportName(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        var reader = ByteReader(data)
        guard let name = reader.string(data.count), let index = exportIndex(named: name) else {
            return fail(.exportName)
        }
        guard format != .extended else { return fail(.exportNameAfterExtendedHeaders) }
        state = .chosen(header)
        let zeroes = !clientFlags.contains(.noZeroes)
        return Step(
            output: info(index).exportNameReply(zeroes: zeroes), action: .serve(session(index)))
    }

    private mutating func handleList(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard data.isEmpty else { return refuse(header, .invalid) }
        let entries = exports.flatMap { reply(header, .server, $0.listEntry) }
        return awaitOption(after: entries + reply(header, .ack))
    }

    private mutating func handleInfo(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard let request = InfoRequest(decoding: data) else {
            return refuse(header, .invalid)
        }
        guard let index = exportIndex(named: request.exportName) else {
            return refuse(header, .unknownExport)
        }
        // Size and flags are always sent, and first. The rest is sent once if the client asks for it.
        var output: [UInt8] = []
        for type in [.export, .name, .description, .blockSize] as [InfoType]
        where type == .export || request.types.contains(type) {
            guard let information = info(index).information(type) else { continue }
            output += reply(header, .info, information)
        }
        output += reply(header, .ack)
        guard header.code == .go else { return awaitOption(after: output) }
        state = .chosen(header)
        return Step(output: output, action: .serve(session(index)))
    }

    /// Handles STRUCTURED_REPLY and EXTENDED_HEADERS. Extended headers replace structured replies, never
    /// the reverse. Asking for extended headers twice is an error, as it is for qemu.
    private mutating func handleFormat(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard data.isEmpty else { return refuse(header, .invalid) }
        if header.code == .extendedHeaders {
            guard format != .extended else {
                return awaitOption(
                    after: reply(
                        header, .invalid, Array("extended headers were negotiated already".utf8)))
            }
            format = .extended
        } else {
            guard format != .extended else {
                return refuse(header, .extendedHeaderRequired)
            }
            format = .structured
        }
        return awaitOption(after: reply(header, .ack))
    }

    // MARK: - Metadata contexts

    private mutating func handleListMetadata(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard format != .simple, let request = MetadataRequest(decoding: data) else {
            return refuse(header, .invalid)
        }
        guard let index = exportIndex(named: request.exportName) else {
            return refuse(header, .unknownExport)
        }
        let contexts = exports[index].contexts
        // The identifier has no meaning in a list.
        let listed = request.listed(of: contexts).indices.flatMap {
            reply(header, contexts[$0], identifier: 0)
        }
        return awaitOption(after: listed + reply(header, .ack))
    }

    private mutating func handleSetMetadata(_ header: OptionHeader, _ data: [UInt8]) -> Step {
        guard format != .simple, let request = MetadataRequest(decoding: data) else {
            return refuse(header, .invalid)
        }
        guard let index = exportIndex(named: request.exportName) else {
            return refuse(header, .unknownExport)
        }
        let contexts = exports[index].contexts
        let selected = request.selected(of: contexts)
        selection = (index, selected)
        let replies = selected.indices.flatMap {
            reply(header, contexts[$0], identifier: MetadataContext.identifier(at: $0))
        }
        return awaitOption(after: replies + reply(header, .ack))
    }

    private func reply(
        _ header: OptionHeader, _ context: MetadataContext, identifier: UInt32
    ) -> [UInt8] {
        var data: [UInt8] = []
        data.append(bigEndian: identifier)
        return reply(header, .metaContext, data + Array(context.name.utf8))
    }

    // MARK: - Helpers

    /// Returns an export as this client sees it, with the flags that depend on earlier options.
    private func info(_ index: Int) -> ExportInfo {
        var flags: TransmissionFlags = []
        if format != .simple { flags.insert(.dontFragment) }
        if format == .extended, !session(index).contexts.isEmpty {
            flags.insert(.blockStatusPayload)
        }
        return exports[index].adding(flags)
    }

    private func session(_ index: Int) -> NegotiatedSession {
        let contexts = selection.flatMap { $0.export == index ? $0.contexts : nil }
        return NegotiatedSession(export: index, format: format, contexts: contexts ?? [])
    }

    private func exportIndex(named name: String) -> Int? {
        if let index = exports.firstIndex(where: { $0.name.utf8.elementsEqual(name.utf8) }) {
            return index
        }
        return name.isEmpty ? exports.indices.first : nil
    }

    /// Replies to an option with an error.
    private mutating func refuse(_ header: OptionHeader, _ error: OptionReplyCode) -> Step {
        if error == .tlsRequired { didRequireTLS = true }
        return switch header.code {
        case .exportName where error == .tlsRequired: fail(.exportNameWithoutTLS)
        case .exportName: reject(.shuttingDown)
        case .abort: abort(header)
        default: awaitOption(after: reply(header, error, Array(error.explanation.utf8)))
        }
    }

    private mutating func reject(_ rejection: Rejection) -> Step {
        state = .over
        return Step(action: .reject(rejection))
    }

    private mutating func fail(_ error: ProtocolError) -> Step {
        state = .over
        return Step(action: .fail(error))
    }

    private func reply(
        _ header: OptionHeader, _ code: OptionReplyCode, _ data: [UInt8] = []
    ) -> [UInt8] {
        OptionReplyHeader(option: header.code, code: code, length: UInt32(data.count)).encoded
            + data
    }
}

extension ServerNegotiation.ProtocolError: CustomStringConvertible {
    /// One sentence for the log, without a full stop.
    public var description: String {
        switch self {
        case .clientFlags(let flags):
            "the client flags 0x\(String(flags, radix: 16)) contain bits that the server did not offer"
        case .optionMagic: "an option does not begin with its magic number"
        case .tooManyOptions: "the client sent more options than a handshake needs"
        case .optionLength(let length):
            "an option announces \(length) bytes of data, more than the server accepts"
        case .exportName: "NBD_OPT_EXPORT_NAME names an export that this server does not have"
        case .exportNameWithoutTLS: "NBD_OPT_EXPORT_NAME without TLS, which this server requires"
        case .exportNameAfterExtendedHeaders:
            "NBD_OPT_EXPORT_NAME cannot be used with extended headers; NBD_OPT_GO can"
        }
    }
}

extension OptionReplyCode {
    /// The text that an error reply carries for people.
    var explanation: String {
        switch self {
        case .unsupported: "this server does not support this option"
        case .invalid: "the data of this option is malformed, or the option is not allowed here"
        case .unknownExport: "there is no export of this name; NBD_OPT_LIST lists the names"
        case .policy:
            "NBD_OPT_STARTTLS needs fixed newstyle negotiation, which this client did not choose"
        case .tlsRequired: "this server requires TLS: send NBD_OPT_STARTTLS first"
        case .shutdown: "the server is stopping"
        case .extendedHeaderRequired: "extended headers were negotiated, and take precedence"
        case .tooBig: "the data of this option is over \(Limits.optionDataKept) bytes long"
        default: ""
        }
    }
}
