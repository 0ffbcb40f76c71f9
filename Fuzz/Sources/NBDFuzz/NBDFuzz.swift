import Foundation
import NBDProtocol

/// Everything that is fuzzed.
enum Target: String, CaseIterable {
    /// The server's half of the handshake, pure.
    case serverHandshake = "server-handshake"
    /// The client's half, against a hostile server, pure.
    case clientHandshake = "client-handshake"
    /// NBD URIs.
    case uri
    /// Requests to a running server, by the messages they are made of.
    case simple, structured, extended
    /// Whole connections to a running server.
    case connection

    /// The one that this process is about.
    static let chosen: Target = {
        let name = ProcessInfo.processInfo.environment["NBD_FUZZ_TARGET"] ?? ""
        guard let target = Target(rawValue: name) else {
            fatalError(
                "NBD_FUZZ_TARGET has to be one of "
                    + allCases.map(\.rawValue).joined(separator: ", "))
        }
        return target
    }()

    func run(_ input: [UInt8]) {
        switch self {
        case .serverHandshake: fuzzServerHandshake(input)
        case .clientHandshake: fuzzClientHandshake(input)
        case .uri: fuzzURI(input)
        case .simple: fuzzTransmission(input, .simple)
        case .structured: fuzzTransmission(input, .structured)
        case .extended: fuzzTransmission(input, .extended)
        case .connection: fuzzConnection(input)
        }
    }
}

/// libFuzzer's entry point. LLVMFuzzerTestOneInput
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // Sound: libFuzzer lends exactly so many bytes for the time of the call.
    Target.chosen.run(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
