import NBDProtocol

/// Maximum number of messages in one input.
private let messageLimit = 60

/// Sends arbitrary messages. The server must close the connection in the end, and must not be harmed.
func fuzzConnection(_ input: [UInt8]) {
    var script = Script(input)
    let link = Link()
    if script.byte() != 0xff { link.send([0, 0, 0, 3]) }
    for number in 0..<messageLimit where !script.isOver && !link.isClosed {
        let choice = script.byte()
        switch choice & 7 {
        case 0: link.send(script.bytes(Int(choice >> 3)))
        case 1, 2, 3: link.send(option(choice, &script))
        case 4, 5: link.send(message(number, choice & 0x10 == 0 ? .simple : .structured, &script))
        case 6: link.send(message(number, .extended, &script))
        default: link.poll()
        }
    }
    link.finish()
}

/// Returns an option. Its data is valid more often than random data would be.
private func option(_ choice: UInt8, _ script: inout Script) -> [UInt8] {
    let code = OptionCode(rawValue: UInt32(script.byte() & 15))
    let name = ["", "sparse", "plain", "fixed"][Int(choice >> 3) & 3]
    var data: [UInt8] = []
    if choice & 0x80 != 0 {
        data = script.bytes(Int(script.byte()))
    } else {
        switch code {
        case .exportName: data = Array(name.utf8)
        case .info, .go:
            let types = (0..<script.byte() % 6).map { InfoType(rawValue: UInt16($0)) }
            data = InfoRequest(exportName: name, types: types).encoded
        case .listMetaContext, .setMetaContext:
            let queries = ["base:allocation", "base:", "qemu:allocation-depth", "qemu:"]
                .prefix(Int(choice & 7))
            data = contextRequest(name, Array(queries))
        default: break
        }
    }
    let choiceOfLength = script.byte()
    let length = choiceOfLength == 0xff ? UInt32(script.wide() >> 32) : UInt32(data.count)
    return OptionHeader(code: code, length: length).encoded + data
}

/// Returns a request, which is sometimes truncated.
private func message(_ number: Int, _ format: HeaderFormat, _ script: inout Script) -> [UInt8] {
    let bytes = Order(&script, cookie: UInt64(number), format: format).encoded(format)
    let cut = script.byte()
    return cut == 0xff ? Array(bytes.prefix(bytes.count / 2)) : bytes
}
