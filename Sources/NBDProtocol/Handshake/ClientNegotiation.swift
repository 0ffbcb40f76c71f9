// The client's half of the handshake as a state machine that does no input or output.
//
// Its driver does what `Step` says: send the output, then read exactly so many bytes and come back
// with them. When the server ends the connection instead, the driver says so with `ended()`.

/// Negotiates one connection, from the server's greeting to an export or to a list of exports.
public struct ClientNegotiation: Sendable {
    /// What the client wants.
    public enum Goal: Sendable, Hashable {
        /// To use the export of this name; the empty one means the server's default. At most 4096
        /// bytes without NUL.
        case open(export: String)
        /// To know which exports there are, and no more.
        case list
    }

    /// What the driver has to do next, in this order.
    public struct Step: Sendable, Hashable {
        /// Bytes to send first; may be empty.
        public var output: [UInt8] = []
        /// What to do then.
        public var next: Next
    }

    /// What follows a step's output.
    public enum Next: Sendable, Hashable {
        /// Read exactly so many bytes (at least one), and hand them to ``ClientNegotiation/receive(_:)``.
        case receive(Int)
        /// The handshake is over: the next byte to send is a request's.
        case transmit(RemoteExport)
        /// The handshake is over: these exports exist. Close the connection.
        case listed([ExportListing])
        /// Close the connection. Output that comes with this is a courtesy: nobody answers it.
        case fail(Failure)
    }

    /// What the next bytes are.
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
    /// What GO has told so far.
    private var export: RemoteExport
    private var hasExportInformation = false
    private var listings: [ExportListing] = []
    private var replyCount = 0

    /// A handshake to this end. Flags that the server does not offer are left out; a client that
    /// wants to see how a server deals with few of them takes up fewer. An export is opened with the
    /// messages of the format, or not at all.
    public init(
        _ goal: Goal, flags: ClientFlags = [.fixedNewstyle, .noZeroes],
        format: HeaderFormat = .simple
    ) {
        self.goal = goal
        self.format = format
        acceptableFlags = flags
        export = RemoteExport(name: goal.exportName)
    }

    /// The server speaks first.
    public func start() -> Step {
        Step(next: .receive(Greeting.encodedSize))
    }

    /// Takes the bytes that the last step asked for, exactly as many.
    public mutating func receive(_ bytes: [UInt8]) -> Step {
        switch state {
        case .greeting: receiveGreeting(bytes)
        case .replyHeader(let option): receiveReplyHeader(bytes, to: option)
        case .replyData(let header): take(header, bytes)
        case .exportNameReply: receiveExportNameReply(bytes)
        case .over: preconditionFailure("the last step asked for no bytes")
        }
    }

    /// The server has ended the connection; what it means depends on what was asked.
    public mutating func ended() -> Step {
        if case .exportNameReply = state { return fail(.exportNameRefused(export.name)) }
        return fail(.closed)
    }

    // MARK: - Before the options

    private mutating func receiveGreeting(_ bytes: [UInt8]) -> Step {
        // Sound, here and below: bytes have no padding that a raw span could show.
        guard let greeting = Greeting(decoding: unsafe bytes.span.bytes) else {
            return fail(Self.isOldstyle(bytes) ? .oldstyle : .notNBD)
        }
        flags = acceptableFlags
        if !greeting.flags.contains(.fixedNewstyle) { flags.remove(.fixedNewstyle) }
        if !greeting.flags.contains(.noZeroes) { flags.remove(.noZeroes) }
        var output: [UInt8] = []
        output.append(bigEndian: flags.rawValue)
        // Without fixed newstyle, EXPORT_NAME is the one option that may be sent.
        let canAsk = flags.contains(.fixedNewstyle)
        return switch goal {
        case .list where canAsk: ask(.list, after: output)
        case .list: fail(.notFixedNewstyle)
        case .open where canAsk && format != .simple: ask(format.option, after: output)
        case .open where canAsk: askToGo(after: output)
        case .open where format != .simple: fail(.notFixedNewstyle)
        case .open: askForExportName(after: output)
        }
    }

    private static func isOldstyle(_ bytes: [UInt8]) -> Bool {
        var reader = ByteReader(bytes)
        return reader.number(as: UInt64.self) == Greeting.magic
            && reader.number(as: UInt64.self) == Greeting.oldstyleMagic
    }

    // MARK: - Asking

    private mutating func ask(
        _ option: OptionCode, _ data: [UInt8] = [], after output: [UInt8] = []
    ) -> Step {
        let header = OptionHeader(code: option, length: UInt32(data.count))
        return awaitReply(to: option, after: output + header.encoded + data)
    }

    private mutating func askToGo(after output: [UInt8] = []) -> Step {
        let request = InfoRequest(exportName: export.name, types: [.description, .blockSize])
        return ask(.go, request.encoded, after: output)
    }

    private mutating func askForExportName(after output: [UInt8] = []) -> Step {
        let name = Array(export.name.utf8)
        let header = OptionHeader(code: .exportName, length: UInt32(name.count))
        state = .exportNameReply
        let zeroes = flags.contains(.noZeroes) ? 0 : RemoteExport.zeroCount
        return Step(
            output: output + header.encoded + name,
            next: .receive(RemoteExport.exportNameReplySize + zeroes))
    }

    private mutating func awaitReply(to option: OptionCode, after output: [UInt8] = []) -> Step {
        state = .replyHeader(option)
        return Step(output: output, next: .receive(OptionReplyHeader.encodedSize))
    }

    // MARK: - Answers

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
        if header.length == 0 { return take(header, []) }
        state = .replyData(header)
        return Step(next: .receive(Int(header.length)))
    }

    /// Deals with a reply whose data has been read.
    private mutating func take(_ header: OptionReplyHeader, _ data: [UInt8]) -> Step {
        if header.code.isError { return takeError(header, data) }
        return switch (header.option, header.code) {
        case (.list, .server): takeListing(data)
        case (.list, .ack): finish(.listed(listings), output: abort)
        case (.structuredReply, .ack), (.extendedHeaders, .ack): askToGo()
        case (.go, .info): takeInformation(data)
        case (.go, .ack): takeGo()
        default: fail(.unexpectedReply(header.option, header.code), output: abort)
        }
    }

    private mutating func takeError(_ header: OptionReplyHeader, _ data: [UInt8]) -> Step {
        if header.option == .go, header.code == .unsupported, format != .extended {
            return askForExportName()
        }
        let message = String(decoding: data.prefix(Limits.stringLength), as: UTF8.self)
        return fail(.refused(header.option, header.code, message: message), output: abort)
    }

    private mutating func takeListing(_ data: [UInt8]) -> Step {
        guard let listing = ExportListing(decoding: data) else {
            return fail(.malformedReply(.list), output: abort)
        }
        listings.append(listing)
        return awaitReply(to: .list)
    }

    private mutating func takeInformation(_ data: [UInt8]) -> Step {
        var reader = ByteReader(data)
        guard let type = reader.number(as: UInt16.self).map(InfoType.init(rawValue:)),
            export.take(type, reader)
        else { return fail(.malformedReply(.go)) }
        if type == .export { hasExportInformation = true }
        return awaitReply(to: .go)
    }

    private mutating func takeGo() -> Step {
        guard hasExportInformation else { return fail(.malformedReply(.go)) }
        return finish(.transmit(export))
    }

    private mutating func receiveExportNameReply(_ bytes: [UInt8]) -> Step {
        // The driver brought as many bytes as this takes; what follows them are the zeroes.
        _ = export.take(.export, ByteReader(Array(bytes.prefix(RemoteExport.exportNameReplySize))))
        return finish(.transmit(export))
    }

    // MARK: - Helpers

    /// Asks the server to end the handshake; it need not be waited for.
    private var abort: [UInt8] { OptionHeader(code: .abort, length: 0).encoded }

    private mutating func finish(_ next: Next, output: [UInt8] = []) -> Step {
        state = .over
        return Step(output: output, next: next)
    }

    private mutating func fail(_ failure: Failure, output: [UInt8] = []) -> Step {
        finish(.fail(failure), output: output)
    }
}

extension HeaderFormat {
    /// The option that agrees on it; simple replies need none.
    fileprivate var option: OptionCode { self == .extended ? .extendedHeaders : .structuredReply }
}

extension ClientNegotiation.Goal {
    /// Name of the export that is wanted; empty for a list.
    var exportName: String {
        switch self {
        case .open(let name): name
        case .list: ""
        }
    }
}
