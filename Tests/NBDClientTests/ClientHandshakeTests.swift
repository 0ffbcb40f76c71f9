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

    /// Returns a socket from which the client receives these bytes, and the server's end of it.
    private func socket(with bytes: [UInt8]) throws -> SocketPair {
        let pair = try StreamSocket.pair()
        let memory = try MemoryMapping(privateBytes: 4096)
        let region = memory.region.slice(at: 0, count: bytes.count)
        region.copy(from: bytes)
        #expect(pair.second.handle.send(region) == .bytes(bytes.count))
        return pair
    }

    private func reply(_ option: OptionCode, _ code: OptionReplyCode, _ data: [UInt8] = [])
        -> [UInt8]
    {
        OptionReplyHeader(option: option, code: code, length: UInt32(data.count)).encoded + data
    }

    private let greeting = Greeting(flags: [.fixedNewstyle, .noZeroes]).encoded

    @Test("opens an export, and reads no byte after the handshake")
    func open() throws {
        // NBD_INFO_EXPORT: 1 MiB, flags 0x0101.
        let information: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 1]
        let pair = try socket(
            with: greeting + reply(.go, .info, information) + reply(.go, .ack) + [0x67])
        let export = try ClientHandshake.open("disk", over: pair.first.handle, timeoutSeconds: 5)
        #expect(export.name == "disk")
        #expect(export.size == 1 << 20)
        #expect(export.flags == [.hasFlags, .multipleConnections])
        let rest = try MemoryMapping(privateBytes: 2)
        let count = pair.first.handle.receive(into: rest.region, blocking: false)
        #expect(count == .bytes(1))
        #expect(rest.region.bytes[0] == 0x67)
    }

    @Test("lists the exports of a server")
    func list() throws {
        let entry = reply(.list, .server, [0, 0, 0, 1, 0x61, 0x62, 0x63])
        let pair = try socket(with: greeting + entry + reply(.list, .ack))
        let exports = try ClientHandshake.list(over: pair.first.handle, timeoutSeconds: 5)
        #expect(exports == [ExportListing(name: "a", description: "bc")])
    }
}

@Suite("A server that a URI names")
struct RemoteServerTests {
    /// Returns the error of opening the export that a URI names.
    private func failure(_ uri: String) throws -> String? {
        let uri = try NBDURI(uri)
        do throws(RemoteServer.Failure) {
            _ = try RemoteServer(uri).open()
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("is rejected with a reason if a client cannot use it")
    func failures() throws {
        #expect(try failure("nbds://localhost")?.contains("requires TLS") == true)
        let path = "/tmp/" + String(repeating: "x", count: 200)
        #expect(
            try failure("nbd+unix:///?socket=\(path)")?.contains("1 to 107 bytes") == true)
        #expect(
            try failure("nbd+unix:///?socket=/tmp/no-such-socket")?
                .contains("is its server running?") == true)
    }
}
