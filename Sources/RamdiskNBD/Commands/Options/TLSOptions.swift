internal import LinuxHost
internal import ArgumentParser
internal import ProgramSupport
internal import NBDProtocol
internal import NBDServer

/// Encryption, and the proof of identity that clients need.
struct TLSOptions: ParsableArguments {
    @Option(
        name: .customLong("tls"),
        help: ArgumentHelp(
            """
            Encryption: off, on (for clients that ask for it) or require (the server rejects other \
            clients). (default: require with certificates or keys, else off)
            """, valueName: "mode"))
    var policy: TLSPolicy?

    @Option(
        name: .customLong("tls-certificates"),
        help: ArgumentHelp(
            """
            Directory with server-cert.pem and server-key.pem, and ca-cert.pem for the certificates \
            of clients. "ramdisk-nbd tls init" makes one.
            """, valueName: "dir"),
        completion: .directory)
    var certificates: AbsolutePath?

    @Flag(
        name: .customLong("tls-verify-peer"),
        help: "Accept only clients with a certificate signed by ca-cert.pem.")
    var verifiesPeer = false

    @Option(
        name: .customLong("tls-allow-dn"),
        help: ArgumentHelp(
            """
            Like --tls-verify-peer, but accept only certificates with this distinguished name, \
            such as CN=alice,O=Example. Repeatable.
            """, valueName: "name"))
    var allowedNames: [String] = []

    @Option(
        name: .customLong("tls-psk"),
        help: ArgumentHelp(
            "File of pre-shared keys, with a line name:key per client, as psktool writes it.",
            valueName: "file"),
        completion: .file())
    var keys: AbsolutePath?

    func validate() throws {
        let hasCredentials = certificates != nil || keys != nil
        if let policy, policy != .off, !hasCredentials {
            throw ValidationError(
                "--tls \(policy.argument) needs --tls-certificates or --tls-psk; "
                    + "\"ramdisk-nbd tls init DIR\" makes either.")
        }
        let wantsCertificates = verifiesPeer || !allowedNames.isEmpty
        try require(
            policy != .off || !hasCredentials && !wantsCertificates,
            "--tls off turns encryption off, so the other --tls options have no effect: leave "
                + "them out, or --tls off.")
        let option = verifiesPeer ? "--tls-verify-peer" : "--tls-allow-dn"
        try require(
            certificates != nil || !wantsCertificates,
            "\(option) needs --tls-certificates, a directory with the ca-cert.pem to verify with.")
        try require(
            policy != .on || !wantsCertificates,
            "\(option) needs --tls require: with --tls on, the server accepts clients without "
                + "encryption and without a certificate.")
        try require(
            !allowedNames.contains(""), "--tls-allow-dn is empty: give a name such as CN=alice.")
    }

    /// The engine's configuration; nil without TLS.
    var configuration: TLSConfiguration? {
        guard certificates != nil || keys != nil, policy != .off else { return nil }
        var configuration = TLSConfiguration()
        configuration.policy = policy == .on ? .on : .required
        configuration.certificates = certificates?.path
        configuration.verifiesClients = verifiesPeer
        configuration.allowedNames = allowedNames
        configuration.keys = keys?.path
        return configuration
    }
}
