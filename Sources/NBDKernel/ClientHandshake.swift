public import LinuxIO
public import NBDProtocol
public import SystemPackage

/// Negotiates a connection to the point where the kernel can go on with requests.
public enum ClientHandshake {
    /// Why a handshake came to nothing; its description is a clause for people.
    public enum Failure: Error, Sendable, Hashable, CustomStringConvertible {
        /// Server and client did not come to terms.
        case negotiation(ClientNegotiation.Failure)
        /// The connection broke.
        case broken(Errno)
        /// The server said nothing for so many seconds.
        case silent(Int)

        /// What happened.
        public var description: String {
            switch self {
            case .negotiation(let failure): "\(failure)"
            case .broken(let error): "the connection broke: \(error)"
            case .silent(let seconds): "the server said nothing for \(seconds) seconds"
            }
        }
    }

    /// Asks for an export, and answers what it is. Not one byte that follows the handshake is taken
    /// off the socket, and its timeouts are as they were.
    public static func run(
        _ socket: SocketHandle, export: String, seconds: Int = 10
    ) throws(Failure) -> RemoteExport {
        socket.setReceiveTimeout(milliseconds: seconds * 1000)
        // The kernel would take these over.
        defer { socket.setReceiveTimeout(milliseconds: 0) }
        let buffer: MemoryMapping
        do throws(Errno) {
            buffer = try MemoryMapping(privateBytes: Limits.optionReplyData)
        } catch {
            throw .broken(error)
        }
        var negotiation = ClientNegotiation(.open(export: export))
        var step = negotiation.start()
        while true {
            let output = buffer.region.slice(at: 0, count: step.output.count)
            output.copy(from: step.output)
            let isOpen = try send(output, to: socket)
            switch step.next {
            case .receive(let count):
                let input = buffer.region.slice(at: 0, count: count)
                let isWhole = isOpen ? try fill(input, from: socket, seconds) : false
                step = isWhole ? negotiation.receive(input.bytes) : negotiation.ended()
            case .transmit(let export): return export
            case .listed: throw .negotiation(.notNBD)
            case .fail(let failure): throw .negotiation(failure)
            }
        }
    }

    /// False when nobody reads it any more.
    private static func send(
        _ region: MemoryRegion, to socket: SocketHandle
    ) throws(Failure) -> Bool {
        var rest = region
        while rest.count > 0 {
            switch socket.send(rest) {
            case .bytes(let count): rest = rest.suffix(from: count)
            case .failed(.brokenPipe), .failed(.connectionReset), .endOfStream, .wouldBlock:
                return false
            case .failed(let error): throw .broken(error)
            }
        }
        return true
    }

    /// False when the stream ends before the region is full.
    private static func fill(
        _ region: MemoryRegion, from socket: SocketHandle, _ seconds: Int
    ) throws(Failure) -> Bool {
        var rest = region
        while rest.count > 0 {
            switch socket.receive(into: rest, blocking: true) {
            case .bytes(let count): rest = rest.suffix(from: count)
            case .endOfStream, .failed(.connectionReset): return false
            case .wouldBlock: throw .silent(seconds)
            case .failed(let error): throw .broken(error)
            }
        }
        return true
    }
}
