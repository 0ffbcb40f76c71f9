import Glibc
import Harness
import LinuxHost
import Testing

@testable import ServiceDiscovery

@Suite("The servers of a service")
struct ServiceTests {
    /// A name server that knows the names below, over UDP and, for what is too long for that, over TCP. It writes its port to a file.
    private static let server = #"""
        import os, socket, socketserver, struct, sys, threading

        def name(text):
            labels = text.split(".") if text else []
            return b"".join(bytes([len(l)]) + l.encode() for l in labels) + b"\0"

        def record(priority, weight, port, target, owner=b"\xc0\x0c", kind=33):
            data = struct.pack(">HHH", priority, weight, port) + name(target)
            return owner + struct.pack(">HHIH", kind, 1, 60, len(data)) + data

        text = b"\xc0\x0c" + struct.pack(">HHIH", 16, 1, 60, 3) + b"\x02hi"
        answers = {
            "_nbd._tcp.example": [record(2, 0, 10809, "c.example"), text, record(1, 0, 7, "b.example"),
                                  record(1, 5, 10809, "a.example")],
            "_many._tcp.example": [record(0, 0, 1000 + i, f"host-{i:03}.some.long.name.example") for i in range(100)],
            "_off._tcp.example": [record(0, 0, 0, "")],
            "_text._tcp.example": [text],
            "_failed._tcp.example": 2,
            "_broken._tcp.example": [record(0, 0, 1, "a.example")[:-4]],
        }

        def reply(query, limit):
            end = 12
            labels = []
            while query[end]:
                labels.append(query[end + 1:end + 1 + query[end]].decode())
                end += 1 + query[end]
            question = query[12:end + 5]
            found = answers.get(".".join(labels))
            def message(flags, records):
                return query[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)
            if found is None:
                return message(0x8183, [])
            if isinstance(found, int):
                return message(0x8180 | found, [])
            whole = message(0x8180, found)
            return whole if len(whole) <= limit else message(0x8380, [])

        class UDP(socketserver.BaseRequestHandler):
            def handle(self):
                self.request[1].sendto(reply(self.request[0], 512), self.client_address)

        class TCP(socketserver.StreamRequestHandler):
            def handle(self):
                length, = struct.unpack(">H", self.rfile.read(2))
                answer = reply(self.rfile.read(length), 65535)
                self.wfile.write(struct.pack(">H", len(answer)) + answer)

        udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), UDP)
        tcp = socketserver.ThreadingTCPServer(udp.server_address, TCP)
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        with open(sys.argv[1] + ".new", "w") as file:
            file.write(str(udp.server_address[1]))
        os.rename(sys.argv[1] + ".new", sys.argv[1])
        udp.serve_forever()
        """#

    /// Runs a body with a look-up that asks that server.
    private func withServer(_ body: (ServiceLookup) throws -> Void) throws {
        let directory = try TemporaryDirectory()
        let python = try requires("python3", package: "python3")
        let process = try ChildProcess(
            command: [python, "-c", Self.server, directory.file("port")], environment: [])
        defer {
            // The process may have inherited blocked signals.
            process.signal(SIGKILL)
            _ = try? process.wait()
        }
        for _ in 0..<6_000 where text(of: directory.file("port")).isEmpty { usleep(10_000) }
        let port = try #require(
            UInt16(text(of: directory.file("port"))), "the name server did not start")
        try body(ServiceLookup(server: ("127.0.0.1", port)))
    }

    @Test("come from a name server, by priority, then weight, whatever their order in the answer")
    func order() throws {
        try withServer { lookup in
            let found = try lookup("_nbd._tcp.example")
            #expect(found.map(\.target) == ["a.example", "b.example", "c.example"])
            #expect(found.map(\.port) == [10809, 7, 10809])
            // Over TCP: the answer has 5 KiB.
            let many = try lookup("_many._tcp.example")
            #expect(many.count == 100)
            #expect(many[99].target == "host-099.some.long.name.example")
        }
    }

    @Test(
        "are none, for a reason",
        arguments: [
            ("_none._tcp.example", ServiceLookup.Failure.noName),
            ("_text._tcp.example", .noRecords), ("_off._tcp.example", .notOffered),
            ("_broken._tcp.example", .malformed),
            // The server itself could not find out: SERVFAIL.
            ("_failed._tcp.example", .noReply),
        ])
    func failures(name: String, failure: ServiceLookup.Failure) throws {
        try withServer { lookup in
            #expect(throws: failure) { _ = try lookup(name) }
        }
    }

    // MARK: - Messages

    /// One question and one answer, whose owner and target are compressed.
    private static let message: [UInt8] =
        [0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
        + [2, 0x5f, 0x78, 1, 0x65, 0] + [0, 33, 0, 1]
        + [0xc0, 12] + [0, 33, 0, 1, 0, 0, 0, 60, 0, 10]
        + [0, 1, 0, 2, 0, 3] + [1, 0x68, 0xc0, 15]

    @Test("may have compressed names")
    func compressed() throws {
        #expect(
            try ServiceRecord.all(inAnswer: Self.message) == [
                ServiceRecord(priority: 1, weight: 2, port: 3, target: "h.e")
            ])
    }

    @Test("are none of a message that is cut anywhere, or whose names lead to themselves")
    func malformed() {
        for count in 0..<Self.message.count {
            #expect(throws: ServiceRecord.Malformed()) {
                try ServiceRecord.all(inAnswer: Array(Self.message.prefix(count)))
            }
        }
        var endless = Self.message
        endless[endless.count - 1] = UInt8(endless.count - 4)
        #expect(throws: ServiceRecord.Malformed()) { try ServiceRecord.all(inAnswer: endless) }
        // A pointer to itself, and one to what follows.
        for target in [endless.count - 2, endless.count] {
            endless[endless.count - 1] = UInt8(target)
            #expect(throws: ServiceRecord.Malformed()) {
                try ServiceRecord.all(inAnswer: endless + [0])
            }
        }
        // A record that is longer than what is in it.
        var long = Self.message + [0]
        long[Self.message.count - 11] += 1
        #expect(throws: ServiceRecord.Malformed()) { try ServiceRecord.all(inAnswer: long) }
    }

    @Test(
        "are none of a message in which a pointer leads to a pointer, and so on",
        arguments: [127, 128])
    func chain(count: Int) throws {
        var message: [UInt8] = [0, 1, 0x81, 0x80, 0, 0, 0, 2, 0, 0, 0, 0]
        // A text with the name "h" and all pointers but the last.
        let start = message.count + 11
        let length = 3 + 2 * (count - 1)
        message += [0, 0, 16, 0, 1, 0, 0, 0, 60, UInt8(length >> 8), UInt8(length & 0xff)]
        message += [1, 0x68, 0]
        var target = start
        func pointer() -> [UInt8] { [0xc0 | UInt8(target >> 8), UInt8(target & 0xff)] }
        for _ in 1..<count {
            let position = message.count
            message += pointer()
            target = position
        }
        message += [0, 0, 33, 0, 1, 0, 0, 0, 60, 0, 8, 0, 1, 0, 2, 0, 3] + pointer()
        if count == 127 {
            #expect(try ServiceRecord.all(inAnswer: message).map(\.target) == ["h"])
        } else {
            #expect(throws: ServiceRecord.Malformed()) {
                try ServiceRecord.all(inAnswer: message)
            }
        }
    }

    @Test("do not end the program, whatever a name server sends")
    func anything() {
        var random = SplitMix64(state: 1)
        var parsed = 0
        for _ in 0..<200_000 {
            var message = Self.message
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                message[Int.random(in: message.indices, using: &random)] =
                    [0, 1, 63, 64, 0xc0, 0xff].randomElement(using: &random)!
            }
            let count = Int.random(in: 0...message.count, using: &random)
            if random.next() & 1 == 0 { message.removeLast(message.count - count) }
            if (try? ServiceRecord.all(inAnswer: message)) != nil { parsed += 1 }
        }
        #expect(parsed > 1_000)
    }
}
