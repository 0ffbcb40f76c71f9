internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// A connection that is ready for requests.
final class Client: Sendable {
    let socket: StreamSocket
    let export: RemoteExport

    /// Connects, and asks for the export that the URI names, and for messages.
    init(_ uri: NBDURI, _ format: HeaderFormat = .simple) throws(Failure) {
        let socket = try Self.connect(uri)
        let goal = ClientNegotiation.Goal.open(export: uri.exportName)
        guard case .transmit(let export) = try negotiate(goal, format, socket.handle) else {
            throw Failure("\(uri): the handshake led to no export")
        }
        self.socket = socket
        self.export = export
    }

    /// The names of a server's exports.
    static func list(_ uri: NBDURI) throws(Failure) -> [ExportListing] {
        let socket = try connect(uri)
        guard case .listed(let exports) = try negotiate(.list, .simple, socket.handle) else {
            return []
        }
        return exports
    }

    /// Connects to the server that the URI names; nothing is said yet.
    static func connect(_ uri: NBDURI) throws(Failure) -> StreamSocket {
        guard !uri.requiresTLS else {
            throw Failure("\(uri): TLS is not spoken here; use nbd:// or nbd+unix://")
        }
        var lastError = Errno.connectionRefused
        for address in try addresses(uri.transport) {
            do throws(Errno) {
                let socket = try StreamSocket.connect(to: address)
                socket.handle.disableDelay()
                return socket
            } catch {
                lastError = error
            }
        }
        throw Failure("\(uri): cannot connect: \(lastError)")
    }

    /// Where the URI's server is, or would be.
    static func addresses(
        _ transport: NBDURI.Transport
    ) throws(Failure) -> [SocketAddress] {
        switch transport {
        case .tcp(let host, let port):
            do throws(SocketAddress.LookupError) {
                return try SocketAddress.resolve(host: host, port: port)
            } catch {
                throw Failure("\(error)")
            }
        case .unix(let path):
            guard let address = SocketAddress.unix(path: path) else {
                throw Failure("\(path) is too long a path for a Unix socket")
            }
            return [address]
        }
    }
}

/// Does what the negotiation's state machine says.
private func negotiate(
    _ goal: ClientNegotiation.Goal, _ format: HeaderFormat, _ socket: SocketHandle
) throws(Failure) -> ClientNegotiation.Next {
    let buffer = try mapping(Limits.optionReplyData)
    socket.setReceiveTimeout(milliseconds: patience * 1000)
    var negotiation = ClientNegotiation(goal, format: format)
    var step = negotiation.start()
    while true {
        let output = buffer.region.slice(at: 0, count: step.output.count)
        output.copy(from: step.output)
        let isOpen = try socket.sendExactly(output)
        switch step.next {
        case .receive(let count):
            let input = buffer.region.slice(at: 0, count: count)
            let hasInput = isOpen ? try socket.receiveExactly(input) : false
            step = hasInput ? negotiation.receive(input.bytes) : negotiation.ended()
        case .fail(let failure): throw Failure("\(failure)")
        case .transmit, .listed: return step.next
        }
    }
}

/// Memory of so many bytes.
func mapping(_ count: Int) throws(Failure) -> MemoryMapping {
    do throws(Errno) {
        return try MemoryMapping(privateBytes: count)
    } catch {
        throw Failure("cannot have \(count) bytes of memory: \(error)")
    }
}
