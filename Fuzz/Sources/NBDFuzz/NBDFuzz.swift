import Foundation
import NBDProtocol

/// The fuzz targets.
enum Target: String, CaseIterable {
    /// The server's half of the handshake, without input or output.
    case serverHandshake = "server-handshake"
    /// The client's half, against a hostile server, without input or output.
    case clientHandshake = "client-handshake"
    /// NBD URIs.
    case uri
    /// Requests to a running server, by message format.
    case simple, structured, extended
    /// Whole connections to a running server.
    case connection
    /// The input after the TLS handshake.
    case tls
    /// Requests to the control socket of a running server.
    case control
    /// Responses of a control socket, to our clients.
    case httpResponse = "http-response"
    case statistics, trace
    /// Messages of the kernel.
    case netlink
    /// Files that an earlier process has left, or a person has written.
    case backing, image, record, configuration
    /// Messages between supervisor and worker.
    case workerMessage = "worker-message"

    /// The target of this process, from the environment variable `NBD_FUZZ_TARGET`.
    static let chosen: Target = {
        let name = ProcessInfo.processInfo.environment["NBD_FUZZ_TARGET"] ?? ""
        guard let target = Target(rawValue: name) else {
            fatalError(
                "NBD_FUZZ_TARGET must be one of "
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
        case .tls: fuzzTLS(input)
        case .control: fuzzControl(input)
        case .httpResponse: fuzzHTTPResponse(input)
        case .statistics: fuzzStatistics(input)
        case .trace: fuzzTrace(input)
        case .netlink: fuzzNetlink(input)
        case .backing: fuzzBacking(input)
        case .image: fuzzImage(input)
        case .record: fuzzRecord(input)
        case .configuration: fuzzConfiguration(input)
        case .workerMessage: fuzzWorkerMessage(input)
        }
    }
}

/// libFuzzer's entry point. LLVMFuzzerTestOneInput
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // Sound: libFuzzer lends exactly `count` bytes for the duration of the call.
    Target.chosen.run(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
