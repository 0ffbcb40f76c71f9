import NBDProtocol

/// Passes the bytes of a client to ``ServerNegotiation``. Magic numbers are supplied, so that the input reaches the
/// code behind them. Some headers come from the input as they are.
func fuzzServerHandshake(_ input: [UInt8]) {
    var script = Script(input)
    let policies: [TLSPolicy] = [.off, .on, .required]
    let shape = script.byte()
    let flags = TransmissionFlags(rawValue: 0x0fff)
    let exports = [
        ExportInfo(name: "disk", description: "a disk", size: 1 << 20, flags: flags),
        ExportInfo(name: "", description: "", size: 1 << 40, flags: [.hasFlags, .readOnly]),
    ]
    var negotiation = ServerNegotiation(
        exports: Array(exports.prefix(Int(shape & 1) + 1)), tls: policies[Int(shape >> 1) % 3])
    negotiation.isShuttingDown = shape & 0x80 != 0
    var step = negotiation.start()
    var isGreeted = false
    while true {
        if isGreeted { checkReplies(step) }
        isGreeted = true
        guard !script.isOver else { return }
        switch step.action {
        case .receive(let count):
            precondition(count > 0 && count <= Limits.optionDataKept)
            step = negotiation.receive(
                count == OptionHeader.encodedSize ? optionHeader(&script) : script.bytes(count))
        case .discard(let count):
            precondition(count > 0 && count <= Limits.optionDataDrained)
            step = negotiation.didDiscard()
        case .startTLS: step = negotiation.didStartTLS()
        case .serve(let agreement):
            precondition(exports.indices.contains(agreement.export))
            // The server may have no connection slot for the session.
            guard shape & 0x40 != 0 else { return }
            step = negotiation.didRejectExport()
        case .finish, .reject, .fail: return
        }
    }
}

private func optionHeader(_ script: inout Script) -> [UInt8] {
    let choice = script.byte()
    guard choice != 0xff else { return script.bytes(OptionHeader.encodedSize) }
    let length = choice & 0x80 == 0 ? UInt32(script.number(upTo: 300)) : UInt32(script.wide() >> 32)
    return OptionHeader(code: OptionCode(rawValue: UInt32(choice & 15)), length: length).encoded
}

/// Checks that the output consists of complete option replies. Only EXPORT_NAME has another reply.
private func checkReplies(_ step: ServerNegotiation.Step) {
    var reader = ByteReader(step.output)
    guard reader.number(as: UInt64.self) == OptionReplyHeader.magic else {
        let isExportName = [10, 134].contains(step.output.count)
        precondition(step.output.isEmpty || isExportName, "the output is not a reply")
        return
    }
    reader = ByteReader(step.output)
    while reader.remaining > 0 {
        guard let header = reader.bytes(OptionReplyHeader.encodedSize),
            let reply = OptionReplyHeader(decoding: unsafe header.span.bytes),
            reader.bytes(Int(reply.length)) != nil
        else { preconditionFailure("a reply is incomplete") }
    }
}

/// Passes the bytes of a hostile server to ``ClientNegotiation``.
func fuzzClientHandshake(_ input: [UInt8]) {
    var script = Script(input)
    let shape = script.byte()
    let goal: ClientNegotiation.Goal = shape & 1 == 0 ? .open(export: "disk") : .list
    var negotiation = ClientNegotiation(goal)
    var step = negotiation.start()
    var lastOption: UInt32 = 0
    while true {
        // The first output begins with the client flags.
        let message = Array(step.output.dropFirst(lastOption == 0 ? 4 : 0))
        if let header = OptionHeader(decoding: unsafe message.span.bytes) {
            lastOption = header.code.rawValue
        }
        guard case .receive(let count) = step.action else { return }
        precondition(count > 0 && count <= Limits.optionReplyData)
        guard !script.isOver else {
            _ = negotiation.peerDidClose()
            return
        }
        step = negotiation.receive(serverBytes(count, lastOption, &script))
    }
}

private func serverBytes(_ count: Int, _ option: UInt32, _ script: inout Script) -> [UInt8] {
    switch count {
    case Greeting.encodedSize:
        let flags = script.byte()
        guard flags != 0xff else { return script.bytes(count) }
        return Greeting(flags: HandshakeFlags(rawValue: UInt16(flags))).encoded
    case OptionReplyHeader.encodedSize:
        let choice = script.byte()
        guard choice != 0xff else { return script.bytes(count) }
        let code = UInt32(choice & 15) | (choice & 0x40 == 0 ? 0 : 1 << 31)
        return OptionReplyHeader(
            option: OptionCode(rawValue: option), code: OptionReplyCode(rawValue: code),
            length: UInt32(script.number(upTo: 200))
        ).encoded
    default: return script.bytes(count)
    }
}

/// Parses any text. If it is a URI, then formatting and parsing it again must return the same URI.
func fuzzURI(_ input: [UInt8]) {
    guard let text = String(validating: input, as: UTF8.self),
        let uri = try? NBDURI(text)
    else { return }
    guard let again = try? NBDURI(uri.description) else {
        preconditionFailure("\(uri) cannot be parsed again")
    }
    precondition(again == uri, "\(uri) and \(again) differ")
}
