package import LinuxIO
package import NBDProtocol
package import SystemPackage

/// Runs ``ClientNegotiation`` over a socket.
///
/// The handshake reads exactly the bytes that belong to it, so that the next byte on the socket is
/// the first one of the transmission phase. Afterwards the socket has no receive timeout: the
/// kernel, for example, would inherit it.
package enum ClientHandshake {
    /// The reason why a handshake failed. Its description is a clause for an error message.
    package enum Failure: Error, Sendable, Hashable, CustomStringConvertible {
        /// Server and client did not agree, or the server broke the protocol.
        case negotiation(ClientNegotiation.Failure)
        /// The connection broke.
        case broken(Errno)
        /// The server sent nothing for this many seconds.
        case silent(Int)

        /// A description of the failure, without a full stop.
        package var description: String {
            switch self {
            case .negotiation(let failure): "\(failure)"
            case .broken(let error): "the connection broke: \(error)"
            case .silent(let seconds): "the server sent nothing for \(seconds) seconds"
            }
        }

        fileprivate init(_ error: TransferError, _ seconds: Int) {
            switch error {
            case .timedOut: self = .silent(seconds)
            case .broken(let error): self = .broken(error)
            }
        }
    }

    /// Seconds that a handshake waits for each message of the server.
    package static var defaultTimeout: Int { 10 }

    /// Opens an export, and returns what the server says about it.
    package static func open(
        _ export: String, over socket: SocketHandle, format: HeaderFormat = .simple,
        timeoutSeconds: Int = defaultTimeout
    ) throws(Failure) -> RemoteExport {
        let negotiation = ClientNegotiation(.open(export: export), format: format)
        guard case .transmit(let export) = try run(negotiation, socket, timeoutSeconds) else {
            throw .negotiation(.notNBD)
        }
        return export
    }

    /// Returns the server's list of exports.
    package static func list(
        over socket: SocketHandle, timeoutSeconds: Int = defaultTimeout
    ) throws(Failure) -> [ExportListing] {
        guard case .listed(let exports) = try run(ClientNegotiation(.list), socket, timeoutSeconds)
        else { throw .negotiation(.notNBD) }
        return exports
    }

    /// Does what the state machine asks for, until the handshake has succeeded or failed.
    private static func run(
        _ initial: ClientNegotiation, _ socket: SocketHandle, _ seconds: Int
    ) throws(Failure) -> ClientNegotiation.Action {
        socket.setReceiveTimeout(milliseconds: seconds * 1000)
        defer { socket.setReceiveTimeout(milliseconds: 0) }
        let buffer: MemoryMapping
        do throws(Errno) {
            buffer = try MemoryMapping(privateBytes: Limits.optionReplyData)
        } catch {
            throw .broken(error)
        }
        var negotiation = initial
        var step = negotiation.start()
        while true {
            let output = buffer.region.slice(at: 0, count: step.output.count)
            output.copy(from: step.output)
            let isOpen = try transfer(seconds) { () throws(TransferError) in
                try socket.sendExactly(output)
            }
            switch step.action {
            case .receive(let count):
                let input = buffer.region.slice(at: 0, count: count)
                let isComplete = try transfer(seconds) { () throws(TransferError) in
                    isOpen ? try socket.receiveExactly(input) : false
                }
                step =
                    isComplete ? negotiation.receive(input.bytes) : negotiation.peerDidClose()
            case .fail(let failure): throw .negotiation(failure)
            case .transmit, .listed: return step.action
            }
        }
    }

    private static func transfer(
        _ seconds: Int, _ body: () throws(TransferError) -> Bool
    ) throws(Failure) -> Bool {
        do throws(TransferError) {
            return try body()
        } catch {
            throw Failure(error, seconds)
        }
    }
}
