package import ProgramSupport
internal import CGnuTLS
internal import NBDProtocol

/// The generator of `ramdisk-nbd tls init`. Each function returns a text that describes what it has made.
package struct CredentialGenerator {
    var directory: String
    var hosts: [TLSHost]
    var user: String
    var days: Int

    package init(directory: String, hosts: [TLSHost], user: String, days: Int) {
        self.directory = directory
        self.hosts = hosts
        self.user = user
        self.days = days
    }

    /// Makes a CA, a server certificate and a client certificate.
    package func makeCertificates() throws(Failure) -> String {
        let names = ["ca-cert", "ca-key", "server-cert", "server-key", "client-cert", "client-key"]
        var files = SecretFiles(directory: directory)
        try files.checkFree(names.map { $0 + ".pem" })
        try GnuTLS.check(gnutls_global_init(), "use GnuTLS")
        let authority = try CertificateGenerator.authority(days: days)
        let server = try CertificateGenerator.server(
            (hosts + TLSHost.local).uniqued, days: days, signedBy: authority)
        let client = try CertificateGenerator.client(user, days: days, signedBy: authority)
        try files.make()
        try files.write(authority, "ca")
        try files.write(server, "server")
        try files.write(client, "client")
        let path = files.absolutePath
        return """
            In \(path), valid for \(days) days:
              ca-cert.pem                      the CA that both sides trust
              ca-key.pem                       secret; needed only to sign more certificates
              server-cert.pem, server-key.pem  the server; the key is secret
              client-cert.pem, client-key.pem  the client "CN=\(user)"; the key is secret

            The server, which accepts only clients with such a certificate:
              ramdisk-nbd serve \(listenOption)--tls-certificates \(shellWord(path)) --tls-verify-peer

            A client, on another machine with ca-cert.pem, client-cert.pem and client-key.pem in its directory:
              nbdinfo \(uri("tls-certificates", path))
              qemu-img info --object tls-creds-x509,id=tls,endpoint=client,dir=\(shellWord(path)) --image-opts driver=nbd,host=\(firstHost),port=10809,tls-creds=tls
              nbd-client -cacertfile \(shellWord(path + "/ca-cert.pem")) -certfile \(shellWord(path + "/client-cert.pem")) -keyfile \(shellWord(path + "/client-key.pem")) \(firstHost) /dev/nbd0

            """
    }

    /// Makes a key for one client.
    package func makeKey() throws(Failure) -> String {
        var files = SecretFiles(directory: directory)
        try files.checkFree(["keys.psk"])
        try GnuTLS.check(gnutls_global_init(), "use GnuTLS")
        var key = [UInt8](repeating: 0, count: 32)
        try GnuTLS.check(
            unsafe gnutls_rnd(GNUTLS_RND_KEY, &key, key.count), "make a key")
        let digits = key.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        try files.make()
        try files.write(Array("\(user):\(digits)\n".utf8), to: "keys.psk", isSecret: true)
        let path = files.absolutePath
        return """
            In \(path):
              keys.psk  the key of the client "\(user)"; secret (psktool -u NAME -p keys.psk adds more)

            The server:
              ramdisk-nbd serve --tls-psk \(shellWord(path + "/keys.psk"))

            A client, on another machine with a copy of keys.psk in its directory:
              nbdinfo \(uri("tls-psk-file", path + "/keys.psk", user: user))
              qemu-img info --object tls-creds-psk,id=tls,endpoint=client,dir=\(shellWord(path)),username=\(shellWord(user)) --image-opts driver=nbd,host=localhost,port=10809,tls-creds=tls

            """
    }

    // MARK: - Text

    private var firstHost: String { hosts.first?.text ?? "localhost" }
    private var listenOption: String { hosts.isEmpty ? "" : "--listen '*' " }

    /// Returns the URI of the server for a client with these credentials, quoted for a shell.
    private func uri(_ parameter: String, _ path: String, user: String? = nil) -> String {
        var uri = NBDURI(
            .tcp(host: firstHost, port: NBDURI.standardPort), requiresTLS: true)
        uri.userName = user
        uri.tlsParameters[parameter] = path
        return shellWord("\(uri)")
    }
}

extension SecretFiles {
    /// Writes a certificate and its key.
    fileprivate mutating func write(
        _ made: borrowing CertificateGenerator, _ name: String
    ) throws(Failure) {
        try write(try made.certificate(), to: name + "-cert.pem", isSecret: false)
        try write(try made.key(), to: name + "-key.pem", isSecret: true)
    }
}

extension [TLSHost] {
    /// The hosts without duplicates, in order of their first occurrence.
    fileprivate var uniqued: [TLSHost] {
        reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}
