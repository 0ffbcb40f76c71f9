internal import LinuxIO
internal import SystemPackage

/// Seconds after which a server that says nothing is given up.
let patience = 30

extension SocketHandle {
    /// Fills the region; false when the stream ends before.
    func receiveExactly(_ region: MemoryRegion) throws(Failure) -> Bool {
        var rest = region
        while rest.count > 0 {
            switch receive(into: rest, blocking: true) {
            case .bytes(let count): rest = rest.suffix(from: count)
            case .endOfStream: return false
            case .wouldBlock: throw Failure("the server says nothing for \(patience) seconds")
            case .failed(let error): throw Failure("the connection broke: \(error)")
            }
        }
        return true
    }

    /// Sends all of the region; false when nobody reads it any more.
    func sendExactly(_ region: MemoryRegion) throws(Failure) -> Bool {
        var rest = region
        while rest.count > 0 {
            switch send(rest) {
            case .bytes(let count): rest = rest.suffix(from: count)
            case .failed(.brokenPipe), .failed(.connectionReset), .endOfStream: return false
            case .wouldBlock: throw Failure("the server reads nothing")
            case .failed(let error): throw Failure("the connection broke: \(error)")
            }
        }
        return true
    }
}
