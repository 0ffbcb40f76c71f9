/// The client's half of the handshake, from the server's greeting to an export or to a list of exports.
///
/// This is a state machine without input or output of its own. Its driver begins with ``start()`` and
/// follows each ``Step``: it sends the output and then performs the action. If the server closes the
/// connection, the driver calls ``peerDidClose()``.
public struct ClientNegotiation: Sendable {
    /// The purpose of the handshake.
    public enum Goal: Sendable, Hashable {
        /// Open the export of this name; the empty one means the server's default. At most 4096 bytes
        /// without NUL.
        case open(export: String)
        /// List the exports.
        case list
    }

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
        /// ``ClientNegotiation/receive(_:)``.
        case receive(Int)
        /// The handshake is over: the next byte to send is the first one of a request.
        case transmit(RemoteExport)
        /// The handshake is over: the server has these exports. Close the connection.
        case listed([ExportListing])
        /// The handshake failed. Close the connection. Any output of this step is an ABORT, to which the
        /// driver need not wait for a reply.
        case fail(Failure)
    }

    /// The kind of the next received bytes.
    private enum State: Sendable {
        case greeting
        case replyHeader(OptionCode)
        case replyData(OptionReplyHeader)
        case exportNameReply
        case over
    }

    private let goal: Goal
    private let format: HeaderFormat
    private let acceptableFlags: ClientFlags
    private var state = State.greeting
    private var flags: ClientFlags = []
    /// The properties that the server's replies to GO have had so far.
    private var export: RemoteExport
    private var hasExportInformation = false
    private var listings: [ExportListing] = []
    private var replyCount = 0

    /// Creates a handshake with a goal.
    ///
    /// - Parameters:
    ///   - goal: what the client wants: an export, or the list of exports.
    ///   - flags: the flags that the client accepts if the server offers them. Fewer are useful to test how
    ///     a server deals with that.
    ///   - format: the messages of the transmission phase. If the server does not support them, the
    ///     handshake fails.
    public init(
        _ goal: Goal, flags: ClientFlags = [.fixedNewstyle, .noZeroes],
        format: HeaderFormat = .simple
    ) {
        self.goal = goal
        self.format = format
        acceptableFlags = flags
        export = RemoteExport(name: goal.exportName)
    }

    /// Returns the first step. The server sends the first message.
    public func start() -> Step {
        Step(action: .receive(Greeting.encodedSize))
    }

    /// Continues with the bytes that the last step asked for, exactly as many.
    public mutating func receive(_ bytes: [UInt8]) -> Step {
        switch state {
        case .greeting: receiveGreeting(bytes)
        case .replyHeader(let option): receiveReplyHeader(bytes, to: option)
        case .replyData(let header): receiveReply(header, bytes)
        case .exportNameReply: receiveExportNameReply(bytes)
        case .over: preconditionFailure("the last step asked for no bytes")
        }
    }

    /// Continues after the server has closed the connection. The meaning depends on the last option.
    public mutating func peerDidClose() -> Step {
        if case .exportNameReply = state { return fail(.exportNameRefused(export.name)) }
        return fail(.closed)
    }

    // MARK: - Before the options

    private mutating func receiveGreeting(_ bytes: [UInt8]) -> Step {
        // Sound, here and below: bytes have no padding that a raw span could expose.
        guard let greeting = Greeting(decoding: unsafe bytes.span.bytes) else {
            return fail(Self.isOldstyle(bytes) ? .oldstyle : .notNBD)
        }
        flags = acceptableFlags
        if !greeting.flags.contains(.fixedNewstyle) { flags.remove(.fixedNewstyle) }
        if !greeting.flags.contains(.noZeroes) { flags.remove(.noZeroes) }
        var output: [UInt8] = []
        output.append(bigEndian: flags.rawValue)
        // Without fixed newstyle, EXPORT_NAME is the only option that the client may send.
        let hasOptions = flags.contains(.fixedNewstyle)
        return switch goal {
        case .list where hasOptions: send(.list, after: output)
        case .list: fail(.notFixedNewstyle)
        case .open where hasOptions && format != .simple: send(format.option, after: output)
        case .open where hasOptions: sendGo(after: output)
        case .open where format != .simple: fail(.notFixedNewstyle)
        case .open: sendExportName(after: output)
        }
    }

    private static func isOldstyle(_ bytes: [UInt8]) -> Bool {
        var reader = ByteReader(bytes)
        return reader.number(as: UInt64.self) == Greeting.magic
            && reader.number(as: UInt64.self) == Greeting.oldstyleMagic
    }

    // MARK: - Options

    private mutating func send(
        _ option: OptionCode, _ data: [UInt8] = [], after output: [UInt8] = []
    ) -> Step {
        let header = OptionHeader(code: option, length: UInt32(data.count))
        return awaitReply(to: option, after: output + header.encoded + data)
    }

    private mutating func sendGo(after output: [UInt8] = []) -> Step {
        let request = InfoRequest(exportName: export.name, types: [.description, .blockSize])
        return send(.go, request.encoded, after: output)
    }

    private mutating func sendExportName(after output: [UInt8] = []) -> Step {
        let name = Array(export.name.utf8)
        let header = OptionHeader(code: .exportName, length: UInt32(name.count))
        state = .exportNameReply
        let zeroes = flags.contains(.noZeroes) ? 0 : RemoteExport.zeroCount
        return Step(
            output: output + header.encoded + name,
            action: .receive(RemoteExport.exportNameReplySize + zeroes))
    }

    private mutating func awaitReply(to option: OptionCode, after output: [UInt8] = []) -> Step {
        state = .replyHeader(option)
        return Step(output: output, action: .receive(OptionReplyHeader.encodedSize))
    }

    // MARK: - Replies

    private mutating func receiveReplyHeader(_ bytes: [UInt8], to option: OptionCode) -> Step {
        guard let header = OptionReplyHeader(decoding: unsafe bytes.span.bytes) else {
            return fail(.replyMagic)
        }
        guard header.option == option else { return fail(.wrongReply(option, header.option)) }
        guard header.length <= Limits.optionReplyData else {
            return fail(.replyLength(header.length))
        }
        replyCount += 1
        guard replyCount <= Limits.optionReplyCount else { return fail(.tooManyReplies) }
        if header.length == 0 { return receiveReply(header, []) }
        state = .replyData(header)
        return Step(action: .receive(Int(header.length)))
    }

    /// Handles a reply whose data has been read.
    private mutating func receiveReply(_ header: OptionReplyHeader, _ data: [UInt8]) -> Step {
        if header.code.isError { return receiveError(header, data) }
        return switch (header.option, header.code) {
        case (.list, .server): receiveListing(data)
        case (.list, .ack): finish(.listed(listings), output: abort)
        case (.structuredReply, .ack), (.extendedHeaders, .ack): sendGo()
        case (.go, .info): receiveInformation(data)
        case (.go, .ack): receiveGo()
        default: fail(.unexpectedReply(header.option, header.code), output: abort)
        }
    }

    private mutating func receiveError(_ header: OptionReplyHeader, _ data: [UInt8]) -> Step {
        if header.option == .go, header.code == .unsupported, format != .extended {
            return sendExportName()
        }
        let message = String(decoding: data.prefix(Limits.stringLength), as: UTF8.self)
        return fail(.refused(header.option, header.code, message: message), output: abort)
    }

    private mutating func receiveListing(_ data: [UInt8]) -> Step {
        guard let listing = ExportListing(decoding: data) else {
            return fail(.malformedReply(.list), output: abort)
        }
        listings.append(listing)
        return awaitReply(to: .list)
    }

    private mutating func receiveInformation(_ data: [UInt8]) -> Step {
        var reader = ByteReader(data)
        guard let type = reader.number(as: UInt16.self).map(InfoType.init(rawValue:)),
            export.store(type, reader)
        else { return fail(.malformedReply(.go)) }
        if type == .export { hasExportInformation = true }
        return awaitReply(to: .go)
    }

    private mutating func receiveGo() -> Step {
        guard hasExportInformation else { return fail(.malformedReply(.go)) }
        return finish(.transmit(export))
    }

    private mutating func receiveExportNameReply(_ bytes: [UInt8]) -> Step {
        // The driver passes exactly the bytes that this needs, followed by the zeroes.
        _ = export.store(.export, ByteReader(Array(bytes.prefix(RemoteExport.exportNameReplySize))))
        return finish(.transmit(export))
    }

    // MARK: - Helpers

    /// Asks the server to end the handshake. The client does not wait for the reply.
    private var abort: [UInt8] { OptionHeader(code: .abort, length: 0).encoded }

    private mutating func finish(_ action: Action, output: [UInt8] = []) -> Step {
        state = .over
        return Step(output: output, action: action)
    }

    private mutating func fail(_ failure: Failure, output: [UInt8] = []) -> Step {
        finish(.fail(failure), output: output)
    }
}

extension HeaderFormat {
    /// The option that negotiates the format. Not for simple replies, which need none.
    fileprivate var option: OptionCode { self == .extended ? .extendedHeaders : .structuredReply }
}

extension ClientNegotiation.Goal {
    /// Name of the export to open; empty for a list.
    var exportName: String {
        switch self {
        case .open(let name): name
        case .list: ""
        }
    }
}
