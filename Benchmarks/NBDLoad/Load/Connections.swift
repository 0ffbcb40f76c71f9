internal import LinuxIO
internal import NBDClient
internal import NBDProtocol
internal import SystemPackage

/// Seconds after which a silent server is given up.
let patience = 30

/// Runs an operation of the client, and converts its error.
private func connecting<Value: ~Copyable>(
    _ operation: () throws(RemoteServer.Failure) -> Value
) throws(Failure) -> Value {
    do throws(RemoteServer.Failure) {
        return try operation()
    } catch {
        throw Failure("\(error)")
    }
}

extension NBDURI {
    /// Resolves the host.
    func resolve() throws(Failure) -> RemoteServer {
        try connecting { () throws(RemoteServer.Failure) in try RemoteServer(self) }
    }

    /// Connects, and opens the export that the URI names.
    func open(_ format: HeaderFormat = .simple) throws(Failure) -> ClientConnection {
        let server = try resolve()
        return try connecting { () throws(RemoteServer.Failure) in
            try server.open(format: format, timeoutSeconds: patience)
        }
    }

    /// Connects without a handshake, for a plain stream.
    func connect() throws(Failure) -> StreamConnection {
        let server = try resolve()
        return try connecting { () throws(RemoteServer.Failure) in
            let connection = StreamConnection(try server.connect())
            connection.handle.disableDelay()
            return connection
        }
    }

    /// Returns the server's list of exports.
    func exports() throws(Failure) -> [ExportListing] {
        let server = try resolve()
        return try connecting { () throws(RemoteServer.Failure) in
            try server.exports(timeoutSeconds: patience)
        }
    }
}

/// A socket for plain bytes, which several owners can share.
final class StreamConnection: Sendable {
    private let socket: StreamSocket

    init(_ socket: consuming StreamSocket) { self.socket = socket }

    /// The socket. Valid as long as this object lives.
    var handle: SocketHandle { socket.handle }
}

extension SocketHandle {
    /// Fills the region. Returns false if the stream ends before.
    func fill(_ region: MemoryRegion) throws(Failure) -> Bool {
        do throws(TransferError) {
            return try receiveExactly(region)
        } catch {
            throw Failure(error, timeout: "the peer sent nothing for \(patience) seconds")
        }
    }

    /// Sends the whole region. Returns false if the peer has closed the connection.
    func drain(_ region: MemoryRegion) throws(Failure) -> Bool {
        do throws(TransferError) {
            return try sendExactly(region)
        } catch {
            throw Failure(error, timeout: "the peer does not read what is sent to it")
        }
    }
}

extension Failure {
    fileprivate init(_ error: TransferError, timeout: String) {
        switch error {
        case .timedOut: self.init(timeout)
        case .broken(let error): self.init("the connection broke: \(error)")
        }
    }
}

/// Allocates zeroed memory of `count` bytes.
func mapping(_ count: Int) throws(Failure) -> MemoryMapping {
    do throws(Errno) {
        return try MemoryMapping(privateBytes: count)
    } catch {
        throw Failure("cannot allocate \(count) bytes of memory: \(error)")
    }
}
