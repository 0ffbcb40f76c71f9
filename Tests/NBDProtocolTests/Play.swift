@testable import NBDProtocol

/// The exports of the tests' server.
let twoExports = [
    ExportInfo(
        name: "first", description: "ramdisk", size: 40 << 20, flags: [.hasFlags, .trim]),
    ExportInfo(name: "zweite ü", description: "", size: 4096, flags: [.hasFlags, .readOnly]),
]

/// Runs a handshake against the bytes that a client sends. Returns what the server sends after the greeting,
/// and how the handshake ended (nil if the server expects more input).
func play(
    _ input: [UInt8], exports: [ExportInfo] = twoExports, isShuttingDown: Bool = false
) -> (output: [UInt8], end: ServerNegotiation.Action?) {
    var negotiation = ServerNegotiation(exports: exports)
    var input = input[...]
    var step = negotiation.start()
    step.output = []
    negotiation.isShuttingDown = isShuttingDown
    var output: [UInt8] = []
    while true {
        output += step.output
        switch step.action {
        case .receive(let count):
            guard input.count >= count else { return (output, nil) }
            step = negotiation.receive(Array(input.prefix(count)))
            input = input.dropFirst(count)
        case .discard(let count):
            guard input.count >= count else { return (output, nil) }
            input = input.dropFirst(count)
            step = negotiation.didDiscard()
        case .startTLS, .serve, .finish, .reject, .fail: return (output, step.action)
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
