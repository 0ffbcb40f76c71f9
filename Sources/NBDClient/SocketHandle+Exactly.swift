package import LinuxIO
package import SystemPackage

/// The reason why a transfer of a given number of bytes failed.
package enum TransferError: Error, Sendable, Hashable {
    /// The peer sent or read nothing before the socket's timeout.
    case timedOut
    /// The connection broke.
    case broken(Errno)
}

extension SocketHandle {
    /// Fills the region. Returns false if the stream ends, or the peer resets the connection, before
    /// the region is full.
    package func receiveExactly(_ region: MemoryRegion) throws(TransferError) -> Bool {
        var rest = region
        while rest.count > 0 {
            switch receive(into: rest, blocking: true) {
            case .bytes(let count): rest = rest.suffix(from: count)
            case .endOfStream, .failed(.connectionReset): return false
            case .wouldBlock: throw .timedOut
            case .failed(let error): throw .broken(error)
            }
        }
        return true
    }

    /// Sends the whole region. Returns false if the peer has closed the connection.
    package func sendExactly(_ region: MemoryRegion) throws(TransferError) -> Bool {
        var rest = region
        while rest.count > 0 {
            switch send(rest) {
            case .bytes(let count): rest = rest.suffix(from: count)
            case .endOfStream, .failed(.brokenPipe), .failed(.connectionReset): return false
            case .wouldBlock: throw .timedOut
            case .failed(let error): throw .broken(error)
            }
        }
        return true
    }
}
