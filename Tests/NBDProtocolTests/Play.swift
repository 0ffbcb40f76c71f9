@testable import NBDProtocol

/// What the tests' server has.
let twoExports = [
    ExportInfo(
        name: "first", description: "ramdisk", size: 40 << 20, flags: [.hasFlags, .trim]),
    ExportInfo(name: "zweite ü", description: "", size: 4096, flags: [.hasFlags, .readOnly]),
]

/// Plays a whole handshake: what the client sends, answered by what the server says after the
/// greeting, and how it ended (nil when more input is wanted).
func play(
    _ input: [UInt8], exports: [ExportInfo] = twoExports, isShuttingDown: Bool = false
) -> (output: [UInt8], end: ServerNegotiation.Next?) {
    var negotiation = ServerNegotiation(exports: exports)
    var input = input[...]
    var step = negotiation.start()
    step.output = []
    negotiation.isShuttingDown = isShuttingDown
    var output: [UInt8] = []
    while true {
        output += step.output
        switch step.next {
        case .receive(let count):
            guard input.count >= count else { return (output, nil) }
            step = negotiation.receive(Array(input.prefix(count)))
            input = input.dropFirst(count)
        case .discard(let count):
            guard input.count >= count else { return (output, nil) }
            input = input.dropFirst(count)
            step = negotiation.discarded()
        case .startTLS, .serve, .finish, .turnAway, .fail: return (output, step.next)
        }
    }
}

let fixed = bytes("00000001")
let fixedNoZeroes = bytes("00000003")

func option(_ code: OptionCode, _ data: [UInt8] = []) -> [UInt8] {
    OptionHeader(code: code, length: UInt32(data.count)).encoded + data
}

func reply(_ option: OptionCode, _ code: OptionReplyCode, _ data: [UInt8] = []) -> [UInt8] {
    OptionReplyHeader(option: option, code: code, length: UInt32(data.count)).encoded + data
}

func refusal(_ option: OptionCode, _ code: OptionReplyCode) -> [UInt8] {
    reply(option, code, text(code.explanation))
}
