import Harness
import Testing

extension Interop {
    @Suite("nbdsh") struct NbdshRequests {
        @Test("sends FUA with every command")
        func forceUnitAccess() async throws {
            try await expectWell(
                """
                fua = nbd.CMD_FLAG_FUA
                h.pwrite(b"x" * 512, 0, flags=fua)
                assert h.pread(512, 0, flags=fua) == b"x" * 512
                h.zero(256, 0, flags=fua)
                h.trim(128, 256, flags=fua)
                h.cache(512, 0, flags=fua)
                h.flush(flags=fua)
                assert h.pread(512, 0) == bytes(384) + b"x" * 128
                """)
        }

        @Test(
            "zeroes with NO_HOLE and FAST_ZERO, to the byte",
            arguments: [
                "0", "nbd.CMD_FLAG_NO_HOLE", "nbd.CMD_FLAG_FAST_ZERO",
                "nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FAST_ZERO",
            ], ["40M", "40M --sparse"])
        func zero(flags: String, disk: String) async throws {
            try await expectWell(
                on: disk,
                """
                h.pwrite(b"x" * 50000, 0)
                h.zero(30000, 10001, flags=\(flags))
                assert h.pread(50000, 0) == b"x" * 10001 + bytes(30000) + b"x" * 9999
                h.zero(8192, 1 << 20, flags=\(flags))
                assert h.pread(8192, 1 << 20) == bytes(8192)
                """)
        }

        @Test("trims to the byte", arguments: ["40M", "40M --sparse"])
        func trim(disk: String) async throws {
            try await expectWell(
                on: disk,
                """
                h.pwrite(b"x" * 50000, 0)
                h.trim(30000, 10001)
                assert h.pread(50000, 0) == b"x" * 10001 + bytes(30000) + b"x" * 9999
                """)
        }

        @Test("trims, zeroes and caches 4 GiB less a byte in one request")
        func huge() async throws {
            try await expectWell(
                on: "8G --sparse",
                """
                length = 2**32 - 1
                for offset in 0, 12345:
                    for clear in h.trim, h.zero:
                        h.pwrite(b"x" * 8192, offset + length - 4096)
                        clear(length, offset)
                        assert h.pread(8192, offset + length - 4096) == bytes(4096) + b"x" * 4096
                    h.cache(length, offset)
                """)
        }

        @Test(
            "transfers the largest advertised payload in one request, and the largest that is served",
            arguments: [32, 64])
        func largest(mebibytes: Int) async throws {
            try await expectWell(
                on: "72M",
                """
                data = bytes(range(256)) * (\(mebibytes) << 12)
                assert len(data) == \(mebibytes) << 20
                h.pwrite(data, 4097)
                assert h.pread(len(data), 4097) == data
                """)
        }

        @Test("has 128 requests in flight on one connection, and gets the right reply to each")
        func inFlight() async throws {
            try await expectWell(
                """
                def finish():
                    count = h.aio_in_flight()
                    assert count == 128, count
                    while h.aio_in_flight() > 0:
                        h.poll(-1)

                # More than a socket holds at a time, so that all of it is in flight.
                length = 64 << 10
                for i in range(128):
                    h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray([i + 1]) * length), i * length)
                finish()
                buffers = [nbd.Buffer(length) for i in range(128)]
                for i, buffer in enumerate(buffers):
                    h.aio_pread(buffer, i * length)
                finish()
                for i, buffer in enumerate(buffers):
                    assert buffer.to_bytearray() == bytearray([i + 1]) * length, i
                """)
        }

        @Test("sees on every connection what was flushed on another")
        func manyConnections() async throws {
            try await expectWell(
                """
                others = [connect() for i in range(15)]
                for i, other in enumerate(others):
                    other.pwrite(bytes([i + 1]) * 4096, i * 4096)
                h.flush()
                for reader in [h] + others:
                    for i in range(15):
                        assert reader.pread(4096, i * 4096) == bytes([i + 1]) * 4096
                """)
        }

        @Test("disconnects in every phase, and the server continues")
        func leaving() async throws {
            try await expectWell(
                """
                def gone(other):
                    # The last reference: libnbd closes the socket.
                    pass

                for i in range(10):
                    connect().shutdown()
                    gone(connect())
                    other = nbd.NBD()
                    other.set_opt_mode(True)
                    other.connect_uri(sys.argv[1])
                    if i % 2:
                        other.opt_abort()
                    other = connect()
                    # Gone in the middle of a WRITE, and before a READ is answered.
                    data = nbd.Buffer.from_bytearray(bytearray(8 << 20))
                    other.aio_pwrite(data, 0)
                    other.aio_pread(nbd.Buffer(8 << 20), 0)
                    other = None
                assert h.pread(512, 0) == bytes(512)
                """)
        }

        @Test("asks about exports before it enters one")
        func options() async throws {
            try await withServer("--export", "one=1M", "--export", "two=2M") { server in
                let said = try await nbdsh(
                    server.uri,
                    """
                    h = nbd.NBD()
                    h.set_opt_mode(True)
                    h.connect_uri(sys.argv[1])
                    names = []
                    h.opt_list(lambda name, description: names.append((name, description)))
                    assert names == [("one", "ramdisk"), ("two", "ramdisk")], names
                    for turn in range(2):
                        for name, size in ("one", 1 << 20), ("two", 2 << 20):
                            h.set_export_name(name)
                            h.opt_info()
                            assert h.get_size() == size
                    h.set_export_name("three")
                    assert attempt(h.opt_info) == "ENOENT"
                    assert attempt(h.opt_go) == "ENOENT"
                    h.set_export_name("two")
                    h.opt_go()
                    assert h.get_size() == 2 << 20
                    assert h.pread(1, (2 << 20) - 1) == bytes(1)
                    print("well")
                    """)
                #expect(said == "well\n")
            }
        }

        /// The script runs to its end; a failed assertion in it does not.
        private func expectWell(on disk: String = "40M", _ script: String) async throws {
            let arguments = ["--size"] + disk.split(separator: " ").map(String.init)
            try await withServer(arguments) { server in
                let said = try await nbdsh(server.uri, script + "\nprint('well')")
                #expect(said == "well\n")
                #expect(server.log.count(of: "warning") == 0, "\(server.log)")
            }
        }
    }
}
