import ArgumentParser
import NBDServer
import Testing

@testable import RamdiskNBD

@Suite("Options of connections") struct ConnectionOptionTests {
    @Test(
        "a server with locked memory admits fewer handshakes at a time, unless the user says how many"
    )
    func handshakes() throws {
        #expect(try handshakes(of: []) == 256)
        #expect(try handshakes(of: ["--swap"]) == 32)
        #expect(try handshakes(of: ["--swap", "--max-handshakes", "100"]) == 100)
    }

    private func handshakes(of arguments: [String]) throws -> Int {
        let serve = try Serve.parse(arguments)
        return serve.connections.serverOptions(isProtected: serve.swap).maximumHandshakes
    }
}
