import LinuxIO
import NBDProtocol
import Testing

@testable import NBDKernel

/// A little-endian machine's bytes, one attribute a line.
private func bytes(_ hexadecimal: String...) -> [UInt8] {
    let digits = Array(hexadecimal.joined().filter { $0 != " " })
    return stride(from: 0, to: digits.count, by: 2).map {
        UInt8(String(digits[$0...$0 + 1]), radix: 16)!
    }
}

@Suite("Commands to the kernel's driver")
struct NBDMessageTests {
    private func options() -> NBDDeviceOptions {
        var export = RemoteExport(name: "disk")
        export.size = 40 << 20
        export.flags = [.hasFlags, .flush, .multipleConnections]
        return NBDDeviceOptions(
            export, requestTimeout: 2, deadConnectionTimeout: 300, backend: "mine")
    }

    @Test("connect has the size, the flags, the timeouts, the backend and the sockets")
    func connect() throws {
        let pair = try StreamSocket.pair()
        let message = NBDMessage.connect(
            [pair.first.handle], NBDDevice(index: 3), options())
        #expect(message.command == 1)
        let head = bytes(
            "0800 0100 03000000",  // device 3
            "0c00 0200 0000800200000000",  // 40 MiB
            "0c00 0300 0010000000000000",  // blocks of 4096 bytes
            "0c00 0500 0501000000000000",  // flags: has flags, flush, several connections
            "0c00 0400 0200000000000000",  // requests: 2 s
            "0c00 0800 2c01000000000000",  // dead connections: 300 s
            "0900 0a00 6d696e6500 000000",  // "mine"
            "1000 0780 0c00 0180 0800 0100")  // sockets: one item: a descriptor …
        #expect(Array(message.attributes.prefix(head.count)) == head)
        // … of 32 bits.
        #expect(message.attributes.count == head.count + 4)
    }

    @Test("connect without a device leaves it to the kernel")
    func anyDevice() {
        let message = NBDMessage.connect([], nil, options())
        let attributes = NetlinkAttribute.parse(message.attributes)
        #expect(attributes?.first?.type == NBDAttribute.size)
    }

    @Test("reconfigure tells device, timeouts, backend and sockets, and neither size nor flags")
    func reconfigure() {
        let message = NBDMessage.reconfigure([], NBDDevice(index: 0), options())
        #expect(message.command == 3)
        #expect(
            message.attributes
                == bytes(
                    "0800 0100 00000000",
                    "0c00 0400 0200000000000000",
                    "0c00 0800 2c01000000000000",
                    "0900 0a00 6d696e6500 000000",
                    "0400 0780"))
    }

    @Test("disconnect and status")
    func small() {
        let disconnect = NBDMessage.disconnect(NBDDevice(index: 258))
        #expect(disconnect.command == 2)
        #expect(disconnect.attributes == bytes("0800 0100 02010000"))
        #expect(NBDMessage.status.encoded == bytes("05 01 0000"))
    }

    @Test("a connect's answer names the device")
    func connected() {
        func device(_ hexadecimal: String) -> NBDDevice? {
            GenericNetlinkMessage(decoding: bytes(hexadecimal)).flatMap {
                NBDMessage.device(in: [$0])
            }
        }
        #expect(device("01 01 0000  0800 0100 07000000") == NBDDevice(index: 7))
        #expect(device("02 01 0000  0800 0100 07000000") == nil)
        #expect(device("01 01 0000  0600 0100 0700 0000") == nil)
        #expect(device("01 01 0000  0900 0100 07000000") == nil)
        #expect(device("01 01 0000") == nil)
        #expect(NBDMessage.device(in: []) == nil)
    }

    @Test("a status's answer lists the devices")
    func devices() {
        func devices(_ hexadecimal: String...) -> [NBDDevice: Bool]? {
            GenericNetlinkMessage(decoding: bytes(hexadecimal.joined())).flatMap {
                NBDMessage.devices(in: [$0])
            }
        }
        let expected = [NBDDevice(index: 0): true, NBDDevice(index: 1): false]
        #expect(
            devices(
                "05 01 0000  2c00 0900",
                "1400 0100  0800 0100 00000000  0500 0200 01 000000",
                "1400 0100  0800 0100 01000000  0500 0200 00 000000") == expected)
        #expect(devices("05 01 0000  0400 0900") == [:])
        #expect(devices("05 01 0000") == nil)
        #expect(devices("05 01 0000  0c00 0900  0800 0100 00000000") == nil)
        #expect(devices("05 01 0000  0c00 0900  0900 0100 00000000") == nil)
        #expect(devices("01 01 0000  0400 0900") == nil)
    }

    @Test("the block size divides the size, and is what the server can do")
    func blockSizes() {
        var export = RemoteExport(name: "")
        for (size, expected) in [
            (4096, 4096), (40 << 20, 4096), (512, 512), (6144, 2048), (1000, 512),
        ] as [(UInt64, UInt64)] {
            export.size = size
            #expect(NBDDeviceOptions.blockSize(of: export) == expected)
        }
        export.size = 40 << 20
        #expect(NBDDeviceOptions.blockSize(of: export, atMost: 512) == 512)
        export.size = 1536
        export.blockSizes = BlockSizes(minimum: 1024, preferred: 4096, maximumPayload: .max)
        #expect(NBDDeviceOptions.blockSize(of: export) == 1024)
        #expect(NBDDeviceOptions.blockSize(of: export, atMost: 512) == 1024)
    }
}

@Suite("Names of devices")
struct NBDDeviceTests {
    @Test("a device has a path")
    func paths() {
        #expect(NBDDevice(path: "/dev/nbd0")?.index == 0)
        #expect(NBDDevice(path: "nbd15")?.index == 15)
        #expect(NBDDevice(index: 3).path == "/dev/nbd3")
        for wrong in [
            "", "nbd", "/dev/nbd", "/dev/sda", "/dev/nbd0p1", "/dev/nbd-1", "/dev/nbd01",
            "/dev/nbd1048576", "/dev/nbd99999999999", "/dev/nbd ", "0",
        ] {
            #expect(NBDDevice(path: wrong) == nil, "\(wrong)")
        }
    }
}

@Suite("The client's half of a handshake over a socket", .timeLimit(.minutes(1)))
struct ClientHandshakeTests {
    /// Has the server's side say some bytes and close, and answers how the client takes it.
    private func failure(after bytes: [UInt8]) throws -> ClientHandshake.Failure? {
        let pair = try StreamSocket.pair()
        let memory = try MemoryMapping(privateBytes: 4096)
        let region = memory.region.slice(at: 0, count: bytes.count)
        region.copy(from: bytes)
        if !bytes.isEmpty { _ = pair.second.handle.send(region) }
        pair.second.handle.shutdownSending()
        do throws(ClientHandshake.Failure) {
            _ = try ClientHandshake.run(pair.first.handle, export: "", seconds: 5)
            return nil
        } catch {
            return error
        }
    }

    @Test("a server that ends or talks nonsense is told from one that works")
    func failures() throws {
        #expect(try failure(after: []) == .negotiation(.closed))
        #expect(try failure(after: [1, 2, 3]) == .negotiation(.closed))
        #expect(
            try failure(after: [UInt8](repeating: 0x47, count: 18)) == .negotiation(.notNBD))
    }

    @Test("a server that says nothing is given up, and the socket's timeout is gone after it")
    func silence() throws {
        let pair = try StreamSocket.pair()
        #expect(throws: ClientHandshake.Failure.silent(1)) {
            try ClientHandshake.run(pair.first.handle, export: "", seconds: 1)
        }
        let connected = pair.first.handle.sendTimeoutMilliseconds
        #expect(connected == 0)
    }
}
