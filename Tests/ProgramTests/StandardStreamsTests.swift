internal import LinuxHost
import Harness
import Testing

extension ProgramSuite {
    @Suite("On standard input and output") struct StandardStreams {
        private let nbdinfo = Program("nbdinfo", package: "libnbd-bin")
        private let python = Program("python3", package: "python3")
        private let program = Program.ramdiskNBD

        @Test("a client that starts the server is served over one socket")
        func socket() async throws {
            let output = try await python(
                "-c", Self.script, program.name,
                """
                ours, theirs = socket.socketpair()
                p = start(stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
                theirs.close()
                talk(ours.fileno(), ours.fileno())
                assert ours.recv(1) == b''
                assert p.wait(10) == 0
                assert b'the client disconnected' in p.stderr.read()
                """)
            #expect(output == "served\n")
        }

        @Test(
            "a client that is standard input alone is served over that socket, both ways",
            arguments: ["DEVNULL", "PIPE"])
        func inputAlone(output: String) async throws {
            let output = try await python(
                "-c", Self.script, program.name,
                """
                ours, theirs = socket.socketpair()
                p = start(stdin=theirs, stdout=subprocess.\(output), stderr=subprocess.PIPE)
                theirs.close()
                talk(ours.fileno(), ours.fileno())
                assert ours.recv(1) == b''
                assert p.wait(10) == 0
                assert b'the client disconnected' in p.stderr.read()
                """)
            #expect(output == "served\n")
        }

        @Test("an error tells the user of socket activation to leave out --stdio")
        func activated() async throws {
            let ending = try await nbdinfo.run([
                "--size", "--", "[", program.name, "serve", "--stdio", "]",
            ])
            #expect(ending.status == .exited(1))
            #expect(ending.errors.contains("leave out --stdio"))
            let size = try await nbdinfo("--size", "--", "[", program.name, "serve", "]")
            #expect(size.hasSuffix("41943040\n"))
        }

        @Test("a client with two pipes is served, and the server ends with status 0 after it")
        func pipes() async throws {
            let output = try await python(
                "-c", Self.script, program.name,
                """
                p = start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                talk(p.stdin.fileno(), p.stdout.fileno())
                assert p.stdout.read() == b''
                assert p.wait(10) == 0
                assert b'the client disconnected' in p.stderr.read()
                """)
            #expect(output == "served\n")
        }

        @Test("a client that closes its pipe in the middle of a message ends the server")
        func brokenPipe() async throws {
            try await python(
                "-c", Self.script, program.name,
                """
                p = start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                enter(p.stdin.fileno(), p.stdout.fileno())
                os.write(p.stdin.fileno(), request(0, 0, 512)[:20])
                p.stdin.close()
                assert p.wait(10) == 0
                assert b'in the middle of a message' in p.stderr.read()
                """)
        }

        @Test("a client that stops reading its pipe ends the server")
        func closedOutput() async throws {
            try await python(
                "-c", Self.script, program.name,
                """
                p = start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                enter(p.stdin.fileno(), p.stdout.fileno())
                p.stdout.close()
                os.write(p.stdin.fileno(), request(0, 0, 4 << 20))
                assert p.wait(10) == 0
                """)
        }

        @Test("only NBD reaches a client that is also standard error, as with inetd")
        func inetd() async throws {
            let output = try await python(
                "-c", Self.script, program.name,
                """
                ours, theirs = socket.socketpair()
                p = start(stdin=theirs, stdout=theirs, stderr=theirs)
                theirs.close()
                talk(ours.fileno(), ours.fileno())
                assert ours.recv(1) == b''
                assert p.wait(10) == 0
                """)
            #expect(output == "served\n")
        }

        @Test("a signal stops the server gracefully")
        func stopped() async throws {
            try await python(
                "-c", Self.script, program.name,
                """
                p = start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                enter(p.stdin.fileno(), p.stdout.fileno())
                p.terminate()
                assert p.wait(10) == 0
                assert p.stdout.read() == b''
                """)
        }

        @Test("a terminal is rejected with a sentence")
        func terminal() async throws {
            let ending = try await Program("script", package: "bsdutils").run([
                "-qec", "\(program.name) serve --stdio", "/dev/null",
            ])
            #expect(ending.status == .exited(64))
            #expect(ending.output.contains("is a terminal"))
        }

        /// A small client in Python over any two descriptors, followed by the lines that use it.
        private static let script = """
            import os, socket, struct, subprocess, sys
            def start(**streams):
                return subprocess.Popen([sys.argv[1], 'serve', '--stdio', '--size', '8M'], **streams)
            def exactly(descriptor, count):
                data = b''
                while len(data) < count:
                    more = os.read(descriptor, count - len(data))
                    assert more, 'the server has ended'
                    data += more
                return data
            def request(command, offset, length):
                return struct.pack('>IHHQQI', 0x25609513, 0, command, 7, offset, length)
            def enter(to, of):
                assert exactly(of, 18)[:16] == b'NBDMAGICIHAVEOPT'
                os.write(to, struct.pack('>I', 3) + b'IHAVEOPT' + struct.pack('>II', 1, 0))
                assert exactly(of, 10)[:8] == struct.pack('>Q', 8 << 20)
            def expect(of, data=b''):
                assert exactly(of, 16 + len(data)) == struct.pack('>IIQ', 0x67446698, 0, 7) + data
            def talk(to, of):
                enter(to, of)
                data = os.urandom(1 << 16) * 16
                os.write(to, request(1, 12345, len(data)))
                left = data
                while left:
                    left = left[os.write(to, left):]
                expect(of)
                os.write(to, request(0, 12345, len(data)))
                expect(of, data)
                os.write(to, request(2, 0, 0))
                print('served')
            exec(sys.argv[2])
            """
    }
}
