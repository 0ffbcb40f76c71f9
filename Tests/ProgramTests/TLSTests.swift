import Foundation
import Harness
import Testing

extension ProgramSuite {
    @Suite("TLS") struct TLS {
        private let program = Program.ramdiskNBD
        private let certtool = Program("certtool", package: "gnutls-bin")

        /// A directory with certificates in it.
        private func certificates() async throws -> TemporaryDirectory {
            let directory = try TemporaryDirectory()
            try await program("tls", "init", directory.file("pki"))
            return directory
        }

        private func mode(_ path: String) throws -> Int {
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            return try #require(attributes[.posixPermissions] as? Int)
        }

        // MARK: - tls init

        @Test(
            "certificates are written once, to files with the right names, and only the user can read secrets"
        )
        func makesCertificates() async throws {
            let directory = try TemporaryDirectory()
            let pki = directory.file("pki")
            let said = try await program(
                "tls", "init", pki, "--host", "nas.example", "--user", "alice")
            for part in ["ca", "server", "client"] {
                #expect(try mode("\(pki)/\(part)-key.pem") == 0o600)
                #expect(said.contains("\(part)-cert.pem"))
            }
            #expect(try mode(pki) == 0o700)
            #expect(said.contains("nbds://nas.example"))
            #expect(said.contains("--tls-certificates \(pki)"))
            let before = text(of: "\(pki)/ca-key.pem")
            let ending = try await program.run(["tls", "init", pki])
            #expect(ending.status == .exited(73))
            #expect(ending.isOneSentence(naming: "\(pki)/ca-cert.pem", "not overwritten"))
            #expect(text(of: "\(pki)/ca-key.pem") == before)
        }

        @Test("other programs accept them, for every requested name")
        func goodCertificates() async throws {
            let directory = try TemporaryDirectory()
            let pki = directory.file("pki")
            try await program("tls", "init", pki, "--host", "nas.example", "--host", "2001:db8::7")
            for host in ["nas.example", "localhost"] {
                try await certtool(
                    "--verify", "--load-ca-certificate", "\(pki)/ca-cert.pem", "--infile",
                    "\(pki)/server-cert.pem", "--verify-hostname", host, "--verify-purpose",
                    "1.3.6.1.5.5.7.3.1")
            }
            // Older versions of qemu require it of every certificate, whatever its key is.
            for part in ["server", "client"] {
                let shown = try await certtool("-i", "--infile", "\(pki)/\(part)-cert.pem")
                #expect(shown.contains("Digital signature."))
                #expect(shown.contains("Key encipherment."))
            }
            let shown = try await certtool("-i", "--infile", "\(pki)/server-cert.pem")
            for address in ["127.0.0.1", "::1", "2001:db8::7"] {
                #expect(shown.contains("IPAddress: \(address)"))
            }
        }

        @Test("a key is made for a name, and no file is overwritten")
        func makesKey() async throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("keys/keys.psk")
            let said = try await program(
                "tls", "init", directory.file("keys"), "--psk", "--user", "alice")
            #expect(try mode(file) == 0o600)
            #expect(text(of: file).wholeMatch(of: /alice:[0-9a-f]{64}\n/) != nil)
            #expect(said.contains("nbds://alice@localhost"))
            let ending = try await program.run(["tls", "init", directory.file("keys"), "--psk"])
            #expect(ending.status == .exited(73))
        }

        @Test(
            "options that it cannot satisfy are rejected",
            arguments: [
                ["--host", "a b"], ["--host", ""], ["--user", "a:b"], ["--user", ""],
                ["--days", "0"], ["--psk", "--host", "x"],
            ])
        func badRequests(arguments: [String]) async throws {
            let directory = try TemporaryDirectory()
            let ending = try await program.run(["tls", "init", directory.file("pki")] + arguments)
            #expect(ending.status == .exited(64))
            #expect(!exists(directory.file("pki")))
        }

        // MARK: - Serving

        @Test("the printed addresses require encryption")
        func addresses() async throws {
            let directory = try await certificates()
            try await withServer(
                "--tls-certificates", directory.file("pki"), "--listen", "127.0.0.1:0"
            ) { server in
                #expect(server.readyLines.contains { $0.hasPrefix("nbds://127.0.0.1:") })
                #expect(server.readyLines.contains { $0.hasPrefix("nbds+unix:///?socket=/") })
                #expect(server.readyLines.count == 2)
            }
        }

        @Test("with certificates, a client that does not encrypt is rejected")
        func required() async throws {
            let directory = try await certificates()
            try await withServer("--tls-certificates", directory.file("pki")) { server in
                let client = try RawClient(unix: server.socketPath)
                #expect(throws: RawClient.Ended.self) { try client.enter() }
                let plain = server.uri.replacing("nbds+unix", with: "nbd+unix")
                let ending = try await Program("nbdinfo", package: "libnbd-bin").run([plain])
                #expect(!ending.status.isSuccess)
                try await eventually("the log says why") {
                    server.log.contains(
                        "notice connection ended: the client did not start TLS, which this server requires"
                    )
                }
            }
        }

        @Test("a client that does not encrypt is served if that is allowed")
        func optional() async throws {
            let directory = try await certificates()
            try await withServer(
                "--tls", "on", "--tls-certificates", directory.file("pki")
            ) { server in
                let size = try RawClient(unix: server.socketPath).enter()
                #expect(size == 40 << 20)
                #expect(server.readyLines[0].hasPrefix("nbds+"))
            }
        }

        @Test("a key that other users can read causes a warning")
        func readableKey() async throws {
            let directory = try await certificates()
            let key = directory.file("pki/server-key.pem")
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: key)
            try await withServer("--tls-certificates", directory.file("pki")) { server in
                #expect(
                    server.log.contains(
                        "warning other users can read or change the secret in \(key)"))
            }
        }

        // MARK: - Mistakes

        @Test(
            "options that need credentials are rejected without any",
            arguments: [
                ["--tls", "on"], ["--tls", "require"], ["--tls-verify-peer"],
                ["--tls-allow-dn", "CN=alice"],
                ["--tls-psk", "/dev/null", "--tls-verify-peer"], ["--tls", "maybe"],
            ])
        func missingCredentials(arguments: [String]) async throws {
            let ending = try await program.run(["serve", "--listen", "localhost:0"] + arguments)
            #expect(ending.status == .exited(64))
            #expect(ending.errors.contains("--tls"))
        }

        @Test(
            "an option that would have no effect is rejected: its user would rely on it",
            arguments: [
                (["--tls", "on", "--tls-verify-peer"], "--tls-verify-peer"),
                (["--tls", "on", "--tls-allow-dn", "CN=alice"], "--tls-allow-dn"),
                (["--tls", "off", "--tls-verify-peer"], "--tls off"),
                (["--tls", "off"], "--tls off"),
            ])
        func withoutEffect(arguments: [String], named: String) async throws {
            let ending = try await program.run(
                ["serve", "--listen", "localhost:0", "--tls-certificates", "/pki"] + arguments)
            #expect(ending.status == .exited(64))
            #expect(ending.errors.contains("Error: \(named)"), "\(ending.errors)")
        }

        @Test("a file that is missing, or not a credential, is named with the reason")
        func badFiles() async throws {
            let directory = try await certificates()
            let pki = directory.file("pki")
            try await expectRefusal(["--tls-certificates", "/nowhere"], "/nowhere/server-cert.pem")
            try await expectRefusal(["--tls-psk", "/nowhere"], "/nowhere")
            try await expectRefusal(["--tls-psk", "/dev/null"], "/dev/null contains no key")
            try write("alice:0123\nbob\n", to: directory.file("keys"))
            try await expectRefusal(["--tls-psk", directory.file("keys")], "line 2")
            try copy("\(pki)/client-key.pem", over: "\(pki)/server-key.pem")
            try await expectRefusal(["--tls-certificates", pki], "is not the key of")
            try write("nothing", to: "\(pki)/server-key.pem")
            try await expectRefusal(["--tls-certificates", pki], "\(pki)/server-key.pem")
        }

        @Test("verifying clients needs a CA")
        func noAuthority() async throws {
            let directory = try await certificates()
            let pki = directory.file("pki")
            try FileManager.default.removeItem(atPath: "\(pki)/ca-cert.pem")
            try await expectRefusal(
                ["--tls-certificates", pki, "--tls-verify-peer"], "\(pki)/ca-cert.pem")
        }

        @Test("a certificate that has expired, or is not yet valid, is rejected")
        func dates() async throws {
            let directory = try await certificates()
            let pki = directory.file("pki")
            for (begin, end, word) in [
                ("2001-01-01", "2002-01-01", "expired on 2002-01-01"),
                ("2090-01-01", "2091-01-01", "not valid before 2090-01-01"),
            ] {
                try write(
                    """
                    cn = "localhost"
                    tls_www_server
                    activation_date = "\(begin) 00:00:00 UTC"
                    expiration_date = "\(end) 00:00:00 UTC"

                    """, to: directory.file("template"))
                try await certtool(
                    "--generate-certificate", "--load-privkey", "\(pki)/server-key.pem",
                    "--load-ca-certificate", "\(pki)/ca-cert.pem", "--load-ca-privkey",
                    "\(pki)/ca-key.pem", "--template", directory.file("template"), "--outfile",
                    "\(pki)/server-cert.pem")
                try await expectRefusal(["--tls-certificates", pki], word)
            }
        }

        @Test("a key that the user cannot read is named")
        func unreadable() async throws {
            let directory = try await certificates()
            let pki = directory.file("pki")
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: pki)
            let ending = try await program.run(
                ["serve", "--size", "4K", "--listen", "localhost:0", "--tls-certificates", pki],
                as: .unprivileged)
            #expect(ending.status == .exited(66))
            #expect(ending.lastLine.contains("\(pki)/server-key.pem"))
        }

        private func expectRefusal(_ arguments: [String], _ words: String) async throws {
            let ending = try await program.run(
                ["serve", "--size", "4K", "--listen", "localhost:0"] + arguments)
            #expect(ending.status == .exited(66), "\(arguments)")
            #expect(ending.isOneSentence(naming: words), "\(ending.errors)")
        }

        private func write(_ text: String, to path: String) throws {
            try text.write(toFile: path, atomically: false, encoding: .utf8)
        }

        private func copy(_ path: String, over other: String) throws {
            try FileManager.default.removeItem(atPath: other)
            try FileManager.default.copyItem(atPath: path, toPath: other)
        }
    }
}
