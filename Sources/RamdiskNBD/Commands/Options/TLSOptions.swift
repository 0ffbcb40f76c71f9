// Encryption, and who clients have to be to get it.

internal import LinuxHost
internal import ArgumentParser
internal import NBDProtocol
internal import NBDServer

struct TLSOptions: ParsableArguments {
    @Option(
        name: .customLong("tls"),
        help: ArgumentHelp(
            """
            Encryption: off, on (who asks for it gets it) or required (nothing else is served). \
            (default: required if there are certificates or keys, else off)
            """, valueName: "off|on|required"))
    var policy: TLSChoice?

    @Option(
        name: .customLong("tls-certificates"),
        help: ArgumentHelp(
            """
            Directory with server-cert.pem and server-key.pem, and for clients' certificates \
            ca-cert.pem. "ramdisk-nbd tls init" makes one.
            """, valueName: "dir"),
        completion: .directory)
    var certificates: PathArgument?

    @Flag(
        name: .customLong("tls-verify-client"),
        help: "Take only clients with a certificate that ca-cert.pem has signed.")
    var verifiesClients = false

    @Option(
        name: .customLong("tls-allow-dn"),
        help: ArgumentHelp(
            """
            Of those, take only clients whose certificate has this distinguished name, such as \
            CN=alice,O=Example. Can be given more than once.
            """, valueName: "name"))
    var allowedNames: [String] = []

    @Option(
        name: .customLong("tls-psk"),
        help: ArgumentHelp(
            "File of pre-shared keys, a line name:key for each client, as psktool makes it.",
            valueName: "file"),
        completion: .file())
    var keys: PathArgument?

    func validate() throws {
        let hasCredentials = certificates != nil || keys != nil
        if let policy, policy != .off, !hasCredentials {
            throw ValidationError(
                "--tls \(policy.rawValue) needs --tls-certificates or --tls-psk; "
                    + "\"ramdisk-nbd tls init DIR\" makes either.")
        }
        let wantsCertificates = verifiesClients || !allowedNames.isEmpty
        guard policy != .off || !hasCredentials && !wantsCertificates else {
            throw ValidationError(
                "--tls off serves everybody without encryption, so no other --tls option can have an "
                    + "effect: leave them out, or --tls off.")
        }
        let option = verifiesClients ? "--tls-verify-client" : "--tls-allow-dn"
        guard certificates != nil || !wantsCertificates else {
            throw ValidationError(
                "\(option) needs --tls-certificates, whose ca-cert.pem it goes by.")
        }
        guard policy != .on || !wantsCertificates else {
            throw ValidationError(
                "\(option) needs --tls required: with --tls on, clients that do not encrypt are served "
                    + "without a certificate.")
        }
        guard !allowedNames.contains("") else {
            throw ValidationError("--tls-allow-dn is empty, but has to be a name such as CN=alice.")
        }
    }

    /// The same for the engine; nil when there is to be no TLS.
    var configuration: TLSConfiguration? {
        guard certificates != nil || keys != nil, policy != .off else { return nil }
        var configuration = TLSConfiguration()
        configuration.policy = policy == .on ? .on : .required
        configuration.certificates = certificates?.path
        configuration.verifiesClients = verifiesClients
        configuration.allowedNames = allowedNames
        configuration.keys = keys?.path
        return configuration
    }
}

/// The values of `--tls`.
enum TLSChoice: String, CaseIterable, ExpressibleByArgument {
    case off, on, required
}
