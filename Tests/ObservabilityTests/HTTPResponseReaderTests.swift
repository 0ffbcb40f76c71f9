@testable import ObservabilityClient
import Testing

@Suite("An HTTP response") struct HTTPResponseReaderTests {
    private static let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nDate: now\r\n\r\n"
        + "5\r\nhello\r\n1;x=y\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    private static let sized =
        "HTTP/1.1 404 Not Found\r\nContent-Length: 16\r\n\r\nhello 0123456789"

    @Test("is parsed with a length or in chunks", arguments: [chunked, sized])
    func whole(text: String) throws {
        var reader = HTTPResponseReader()
        var body: [UInt8] = []
        try reader.parse(Array(text.utf8)[...], into: &body)
        #expect(String(decoding: body, as: UTF8.self) == "hello 0123456789")
        #expect(reader.isComplete)
        #expect(reader.status == (text == Self.sized ? 404 : 200))
    }

    @Test("is parsed one byte at a time", arguments: [chunked, sized])
    func bytes(text: String) throws {
        var reader = HTTPResponseReader()
        var body: [UInt8] = []
        for byte in text.utf8 {
            #expect(!reader.isComplete)
            try reader.parse([byte], into: &body)
        }
        #expect(String(decoding: body, as: UTF8.self) == "hello 0123456789")
        #expect(reader.isComplete)
    }

    @Test("without a length ends when the connection is closed")
    func endless() throws {
        var reader = HTTPResponseReader()
        var body: [UInt8] = []
        try reader.parse(Array("HTTP/1.0 200 OK\n\nall".utf8)[...], into: &body)
        #expect(reader.endsWithConnection)
        #expect(!reader.isComplete)
        #expect(body == Array("all".utf8))
    }

    @Test("has the exit code that the server wants, if that can be one")
    func exitCode() throws {
        for (value, code) in [("74", 74), ("0", nil), ("256", nil), ("x", nil)]
            as [(String, Int32?)]
        {
            var reader = HTTPResponseReader()
            var body: [UInt8] = []
            try reader.parse(
                Array("HTTP/1.1 500 Error\nExit-Code: \(value)\n\n".utf8)[...], into: &body)
            #expect(reader.exitCode == code)
        }
    }

    @Test(
        "that is not valid is rejected",
        arguments: [
            "NBDMAGIC IHAVEOPT\n", "HTTP/1.1\n", "HTTP/1.1 ok\n", "HTTP/1.1 200 OK\nno colon\n",
            "HTTP/1.1 200 OK\nContent-Length: -1\n", "HTTP/1.1 200 OK\nContent-Length: many\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nxyz\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n-1\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\naa\n",
            String(repeating: "x", count: HTTPResponseReader.headLimit + 1),
        ])
    func wrong(text: String) {
        var reader = HTTPResponseReader()
        var body: [UInt8] = []
        #expect(throws: HTTPResponseReader.Malformed.self) {
            try reader.parse(Array(text.utf8)[...], into: &body)
        }
    }
}
