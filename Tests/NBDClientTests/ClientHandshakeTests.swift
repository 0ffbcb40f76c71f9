import LinuxIO
import NBDClient
import NBDProtocol
import Testing

@Suite("A client's handshake over a socket", .timeLimit(.minutes(1)))
struct ClientHandshakeTests {
    /// Sends some bytes from the server's end, closes it, and returns how the handshake fails.
    private func failure(after bytes: [UInt8]) throws -> ClientHandshake.Failure? {
        let pair = try StreamSocket.pair()
        let memory = try MemoryMapping(privateBytes: 4096)
        let region = memory.region.slice(at: 0, count: bytes.count)
        region.copy(from: bytes)
        if !bytes.isEmpty { _ = pair.second.handle.send(region) }
        pair.second.handle.shutdownSending()
        do throws(ClientHandshake.Failure) {
            _ = try ClientHandshake.open("", over: pair.first.handle, timeoutSeconds: 5)
            return nil
        } catch {
            return error
        }
    }

    @Test("fails if the server closes the connection or does not speak NBD")
    func failures() throws {
        #expect(try failure(after: []) == .negotiation(.closed))
        #expect(try failure(after: [1, 2, 3]) == .negotiation(.closed))
        #expect(
            try failure(after: [UInt8](repeating: 0x47, count: 18)) == .negotiation(.notNBD))
    }

    @Test("times out if the server is silent, and removes the socket's timeout")
    func silence() throws {
        let pair = try StreamSocket.pair()
        #expect(throws: ClientHandshake.Failure.silent(1)) {
            try ClientHandshake.open("", over: pair.first.handle, timeoutSeconds: 1)
        }
        let connected = pair.first.handle.sendTimeoutMilliseconds
        #expect(connected == 0)
    }
}
