import LinuxIO
import NBDProtocol
import Testing

@testable import NBDKernel

/// Returns the bytes of hexadecimal text, as a little-endian machine writes them, one attribute a line.
private func bytes(_ hexadecimal: String...) -> [UInt8] {
    let digits = Array(hexadecimal.joined().filter { $0 != " " })
    return stride(from: 0, to: digits.count, by: 2).map {
        UInt8(String(digits[$0...$0 + 1]), radix: 16)!
    }
}

@Suite("Commands to the kernel's nbd driver")
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

    @Test("connect without a device lets the kernel choose one")
    func anyDevice() {
        let message = NBDMessage.connect([], nil, options())
        let attributes = NetlinkAttribute.parse(message.attributes)
        #expect(attributes?.first?.type == NBDAttribute.size)
    }

    @Test(
        "reconfigure has the device, the timeouts, the backend and the sockets, but neither size nor flags"
    )
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

    @Test("the reply to connect names the device")
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

    @Test("the reply to status lists the devices")
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

    @Test("the block size divides the size, and respects the server's minimum")
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
    @Test("a device is found by its path or name")
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
