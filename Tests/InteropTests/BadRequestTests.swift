import Harness
import Testing

extension Interop {
    @Suite("Bad requests from nbdsh") struct BadRequests {
        @Test(
            "beyond the end are ENOSPC for writes and EINVAL for the rest",
            arguments: Bad.beyondTheEnd)
        func beyondTheEnd(request: BadRequest) async throws {
            try await expectRefusal(of: request)
        }

        @Test("of length zero are EINVAL", arguments: Bad.noLength)
        func noLength(request: BadRequest) async throws {
            try await expectRefusal(of: request)
        }

        @Test(
            "with flags that are unknown or another command's are EINVAL",
            arguments: Bad.wrongFlags)
        func wrongFlags(request: BadRequest) async throws {
            try await expectRefusal(of: request)
        }

        @Test("with a larger payload than the disk is long get their error", arguments: Bad.tooLong)
        func tooLong(request: BadRequest) async throws {
            try await expectRefusal(of: request)
        }

        @Test("of unknown commands are EINVAL", arguments: Bad.unknown)
        func unknown(request: BadRequest) async throws {
            try await expectRefusal(of: request)
        }

        @Test("for changes of a read-only disk are EPERM", arguments: Bad.changes)
        func readOnly(request: BadRequest) async throws {
            try await expectRefusal(of: request, "--read-only")
        }

        @Test(
            "whose range reaches 2^64 get an error that libnbd 1.14 takes", arguments: Bad.wrapping)
        func wrapping(request: BadRequest) async throws {
            try await withServer("--size", "40M") { server in
                let said = try await nbdsh(
                    server.uri,
                    """
                    assert h.get_structured_replies_negotiated()
                    print(attempt(lambda: \(request.call)))
                    assert h.aio_is_ready(), "the connection is lost"
                    assert h.pread(512, 0) == bytes(512)
                    """)
                #expect(said == "\(request.error)\n")
            }
        }

        @Test("among good ones in flight fail alone")
        func amongGoodOnes() async throws {
            try await withServer("--size", "40M") { server in
                let said = try await nbdsh(
                    server.uri,
                    """
                    def write(i):
                        data = nbd.Buffer.from_bytearray(bytearray([i]) * 8192)
                        return h.aio_pwrite(data, i * 8192 if i % 3 else size - 4096)

                    cookies = [write(i) for i in range(128)]
                    errors = []
                    while h.aio_in_flight() > 0:
                        h.poll(-1)
                    for i, cookie in enumerate(cookies):
                        answer = attempt(lambda: h.aio_command_completed(cookie))
                        assert answer == ("done" if i % 3 else "ENOSPC"), (i, answer)
                    for i in range(128):
                        expected = bytes([i if i % 3 else 0]) * 8192
                        assert h.pread(8192, i * 8192) == expected, i
                    assert h.pread(4096, size - 4096) == bytes(4096)
                    print("well")
                    """)
                #expect(said == "well\n")
            }
        }

        /// The request gets its error; the disk is as before; the same connection, and the server,
        /// continue.
        private func expectRefusal(of request: BadRequest, _ options: String...) async throws {
            try await withServer(["--size", "40M"] + options) { server in
                let said = try await nbdsh(
                    server.uri,
                    """
                    h = connect(structured=False)
                    attempt(lambda: h.pwrite(b"before" * 1000, 0))
                    attempt(lambda: h.pwrite(b"before" * 1000, size - 6000))
                    def contents(h):
                        return h.pread(1 << 20, 0) + h.pread(1 << 20, size - (1 << 20))
                    before = contents(h)
                    print(attempt(lambda: \(request.call)))
                    assert contents(h) == before, "it changed the disk"
                    h.shutdown()
                    assert contents(connect()) == before, "another connection sees something else"
                    """)
                #expect(said == "\(request.error)\n")
                #expect(server.log.count(of: "warning") == 0, "\(server.log)")
            }
        }
    }
}

/// A request as Python, and the error that it has to get.
struct BadRequest: Sendable, CustomTestStringConvertible {
    let call: String
    let error: String

    var testDescription: String { call }

    init(_ call: String, _ error: String) {
        self.call = call
        self.error = error
    }
}

/// Every bad request, by what is wrong with it.
private enum Bad {
    static let beyondTheEnd = [
        BadRequest("h.pread(1, size)", "EINVAL"),
        BadRequest("h.pread(1024, size - 512)", "EINVAL"),
        BadRequest("h.pread(512, 2**64 - 256)", "EINVAL"),
        BadRequest("h.pread(512, 2**63)", "EINVAL"),
        BadRequest("h.pwrite(bytes(1), size)", "ENOSPC"),
        BadRequest("h.pwrite(b'x' * 1024, size - 512)", "ENOSPC"),
        BadRequest("h.pwrite(b'x' * 512, 2**64 - 256)", "ENOSPC"),
        BadRequest("h.zero(1024, size - 512)", "ENOSPC"),
        BadRequest("h.zero(512, 2**64 - 256)", "ENOSPC"),
        BadRequest("h.zero(2**32 - 1, 0)", "ENOSPC"),
        BadRequest("h.trim(1024, size - 512)", "EINVAL"),
        BadRequest("h.trim(512, 2**64 - 256)", "EINVAL"),
        BadRequest("h.trim(2**32 - 1, 0)", "EINVAL"),
        BadRequest("h.cache(1024, size - 512)", "EINVAL"),
        BadRequest("h.cache(512, 2**64 - 256)", "EINVAL"),
    ]

    static let wrapping = [
        BadRequest("h.pread(512, 2**64 - 512)", "EINVAL"),
        BadRequest("h.pread(512, 2**64 - 256)", "EINVAL"),
        BadRequest("h.pwrite(b'x' * 512, 2**64 - 256)", "ENOSPC"),
        BadRequest("h.zero(512, 2**64 - 256)", "ENOSPC"),
        BadRequest("h.trim(512, 2**64 - 256)", "EINVAL"),
    ]

    static let noLength = [
        BadRequest("h.pread(0, 0)", "EINVAL"),
        BadRequest("h.pread(0, size)", "EINVAL"),
        BadRequest("h.pwrite(b'', 0)", "EINVAL"),
        BadRequest("h.zero(0, 0)", "EINVAL"),
        BadRequest("h.trim(0, 0)", "EINVAL"),
        BadRequest("h.cache(0, 0)", "EINVAL"),
    ]

    static let wrongFlags = [
        BadRequest("h.pread(512, 0, flags=0x8000)", "EINVAL"),
        BadRequest("h.pwrite(b'x' * 512, 0, flags=0x8000)", "EINVAL"),
        BadRequest("h.flush(flags=0x8000)", "EINVAL"),
        BadRequest("h.trim(512, 0, flags=0x8000)", "EINVAL"),
        BadRequest("h.zero(512, 0, flags=0x8000)", "EINVAL"),
        BadRequest("h.cache(512, 0, flags=0x8000)", "EINVAL"),
        // DF is for READ, when structured replies were negotiated; here they were not.
        BadRequest("h.pread(512, 0, flags=nbd.CMD_FLAG_DF)", "EINVAL"),
        BadRequest("h.pwrite(b'x' * 512, 0, flags=nbd.CMD_FLAG_DF)", "EINVAL"),
        BadRequest("h.pread(512, 0, flags=nbd.CMD_FLAG_NO_HOLE)", "EINVAL"),
        BadRequest("h.pwrite(b'x' * 512, 0, flags=nbd.CMD_FLAG_NO_HOLE)", "EINVAL"),
        BadRequest("h.trim(512, 0, flags=nbd.CMD_FLAG_NO_HOLE)", "EINVAL"),
        BadRequest("h.pwrite(b'x' * 512, 0, flags=nbd.CMD_FLAG_FAST_ZERO)", "EINVAL"),
        BadRequest("h.trim(512, 0, flags=nbd.CMD_FLAG_FAST_ZERO)", "EINVAL"),
        BadRequest("h.pread(512, 0, flags=nbd.CMD_FLAG_REQ_ONE)", "EINVAL"),
        BadRequest("h.zero(512, 0, flags=nbd.CMD_FLAG_REQ_ONE)", "EINVAL"),
    ]

    // libnbd itself sends no more than 64 MiB; on a disk of 40 MiB those are beyond the end.
    static let tooLong = [
        BadRequest("h.pwrite(b'x' * (41 << 20), 0)", "ENOSPC"),
        BadRequest("h.pwrite(b'x' * (64 << 20), 0)", "ENOSPC"),
        BadRequest("h.pread((40 << 20) + 1, 0)", "EINVAL"),
    ]

    static let unknown = [
        // A command that needs a context, and none was negotiated.
        BadRequest("h.block_status(512, 0, lambda *status: 0)", "EINVAL")
    ]

    static let changes = [
        BadRequest("h.pwrite(b'x' * 512, 0)", "EPERM"),
        BadRequest("h.pwrite(b'x' * (1 << 20), 4096)", "EPERM"),
        BadRequest("h.trim(512, 0)", "EPERM"),
        BadRequest("h.zero(512, 0)", "EPERM"),
    ]
}
