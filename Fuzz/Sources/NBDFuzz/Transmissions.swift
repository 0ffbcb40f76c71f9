import NBDProtocol

/// Maximum number of requests in one input.
private let orderLimit = 100

/// Runs a connection with a message format. The handshake is valid; the input determines what follows.
func fuzzTransmission(_ input: [UInt8], _ format: HeaderFormat) {
    var script = Script(input)
    let shape = script.byte()
    let export = ["sparse", "plain", "fixed"][Int(shape >> 1) % 3]
    let link = Link()
    enter(link, export: export, format, wantsContext: shape & 0x10 == 0)
    if shape & 1 == 0 {
        runInLockstep(&script, format, link, isFixed: export == "fixed")
    } else {
        runPipelined(&script, format, link)
    }
    link.finish()
}

/// Performs the handshake for an export.
private func enter(_ link: Link, export: String, _ format: HeaderFormat, wantsContext: Bool) {
    var bytes: [UInt8] = [0, 0, 0, 3]
    var replies = 0
    func add(_ option: OptionCode, _ data: [UInt8] = []) {
        bytes += OptionHeader(code: option, length: UInt32(data.count)).encoded + data
        replies += 1
    }
    if format == .structured { add(.structuredReply) }
    if format == .extended { add(.extendedHeaders) }
    if format != .simple, wantsContext {
        add(.setMetaContext, contextRequest(export, ["base:allocation"]))
    }
    add(.go, InfoRequest(exportName: export).encoded)
    guard link.receive(Greeting.encodedSize) != nil else {
        fatalError("the server sent no greeting")
    }
    link.send(bytes)
    while replies > 0 {
        guard let bytes = link.receive(OptionReplyHeader.encodedSize),
            let header = OptionReplyHeader(decoding: unsafe bytes.span.bytes),
            !header.code.isError, link.receive(Int(header.length)) != nil
        else { fatalError("the handshake failed") }
        if header.code == .ack { replies -= 1 }
    }
}

/// Returns the data of SET_META_CONTEXT and LIST_META_CONTEXT.
func contextRequest(_ export: String, _ queries: [String]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(bigEndian: UInt32(export.utf8.count))
    bytes += Array(export.utf8)
    bytes.append(bigEndian: UInt32(queries.count))
    for query in queries {
        bytes.append(bigEndian: UInt32(query.utf8.count))
        bytes += Array(query.utf8)
    }
    return bytes
}

// MARK: - In lockstep

/// Sends one request at a time, and compares each reply with a simple model of the disk.
private func runInLockstep(
    _ script: inout Script, _ format: HeaderFormat, _ link: Link, isFixed: Bool
) {
    var model = [UInt8](repeating: 0, count: Link.diskSize)
    if !isFixed { clear(link, format) }
    for number in 1...orderLimit where !script.isOver {
        let order = Order(&script, cookie: UInt64(number), format: format)
        link.send(order.encoded(format))
        guard order.isWhole, order.command != 2 else { return }
        guard let verdict = Verdict.receive(to: order, format, from: link) else { return }
        check(order, verdict, &model)
    }
}

/// Zeroes the disk, which still has the data of the last input.
private func clear(_ link: Link, _ format: HeaderFormat) {
    var empty = Script([])
    var order = Order(&empty, cookie: 0, format: format)
    order.command = 6
    order.length = UInt64(Link.diskSize)
    link.send(order.encoded(format))
    guard let verdict = Verdict.receive(to: order, format, from: link), verdict.error == 0 else {
        fatalError("the disk cannot be zeroed")
    }
}

private func check(_ order: Order, _ verdict: Verdict, _ model: inout [UInt8]) {
    guard verdict.error == 0 else {
        precondition([1, 22, 28].contains(verdict.error), "error \(verdict.error)")
        return
    }
    guard order.command != 3 else { return }
    precondition(
        order.offset <= UInt64(model.count)
            && (order.length <= UInt64(model.count) - order.offset || order.command == 7),
        "a request beyond the end succeeded")
    let start = Int(order.offset)
    switch order.command {
    case 0: precondition(verdict.data[...] == model[start..<start + Int(order.length)], "READ")
    case 1: model.replaceSubrange(start..<start + order.payload.count, with: order.payload)
    case 4, 6:
        let count = Int(order.length)
        model.replaceSubrange(start..<start + count, with: repeatElement(0, count: count))
    case 7: check(verdict.extents, from: start, order, model)
    case 5: break
    default: preconditionFailure("the unknown command \(order.command) succeeded")
    }
}

private func check(
    _ extents: [(length: UInt64, flags: UInt64)], from start: Int, _ order: Order, _ model: [UInt8]
) {
    var position = start
    for (length, flags) in extents {
        precondition(length <= UInt64(model.count - position), "an extent beyond the end")
        let end = position + Int(length)
        precondition(flags <= 3, "unknown flags of an extent")
        if flags & 2 != 0 {
            precondition(
                model[position..<end].allSatisfy { $0 == 0 },
                "an extent with data is reported as zero")
        }
        position = end
    }
    precondition(order.flags & 8 == 0 || extents.count == 1, "REQ_ONE")
}

// MARK: - Pipelined

/// Sends all requests at once, and expects one reply to each, in order. This server replies in order.
private func runPipelined(_ script: inout Script, _ format: HeaderFormat, _ link: Link) {
    var orders: [Order] = []
    var bytes: [UInt8] = []
    while !script.isOver, orders.count < orderLimit {
        let order = Order(&script, cookie: UInt64(orders.count) &* 0x0101_0101_0101, format: format)
        bytes += order.encoded(format)
        guard order.isWhole, order.command != 2 else { break }
        orders.append(order)
    }
    link.send(bytes)
    for order in orders {
        guard Verdict.receive(to: order, format, from: link) != nil else { return }
    }
}
