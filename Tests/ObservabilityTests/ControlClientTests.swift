@testable import ObservabilityClient
import LinuxIO
import ProgramSupport
import Testing

@Suite("A client of a control socket") struct ControlClientTests {
    @Test("gives up a response that does not end")
    func endless() throws {
        let path = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        let address = try #require(SocketAddress.unix(path: path))
        let listener = try Listener(unix: address)
        let server = try Thread(name: "endless") {
            guard let event = try? EventFD(),
                let memory = try? MemoryMapping(privateBytes: 1 << 20),
                (try? Listener.poll([listener], or: event, milliseconds: 10_000)) == [0],
                let socket = try? listener.accept()
            else { return }
            memory.region.copy(from: Array("HTTP/1.1 200 OK\r\n\r\n".utf8))
            while case .bytes = socket.handle.send(memory.region) {}
        }
        let failure = #expect(throws: Failure.self) {
            try ControlClient(path: path).get("/stats", as: Int.self)
        }
        #expect(failure?.kind == .protocolError)
        #expect(failure?.sentence.contains("is longer than 64 MiB") == true)
        server.join()
    }
}
