// `ramdisk-nbd tls`: what encryption needs, for who has nothing yet.

internal import TLSCredentials
internal import ProgramSupport
internal import ArgumentParser

struct TLSCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tls",
        abstract: "Make certificates or keys for encrypted connections.",
        subcommands: [TLSInit.self])
}

struct TLSInit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make a small CA with certificates for a server and a client, or a key.",
        usage: "ramdisk-nbd tls init <dir> [<options>]",
        discussion: """
            Everything goes into one directory, under the names that NBD tools look for: \
            ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem, client-key.pem; and \
            ca-key.pem, with which more certificates can be signed. With --psk it is one file, \
            keys.psk. What is secret can be read by you alone, and nothing is ever overwritten. What \
            was made is printed, with the commands that use it.

            EXAMPLES
              A server that this machine and others reach under two names:
                ramdisk-nbd tls init certificates --host nas.example --host 192.0.2.7
                ramdisk-nbd serve --listen '*' --tls-certificates certificates \\
                  --tls-verify-client

              A key for alice and the server, which is all that the two need:
                ramdisk-nbd tls init keys --psk --user alice
                ramdisk-nbd serve --tls-psk keys/keys.psk
            """)

    @Argument(
        help: ArgumentHelp("Where it goes; made if it is not there.", valueName: "dir"),
        completion: .directory)
    var directory: String

    @Flag(name: .long, help: "Make a pre-shared key, rather than certificates.")
    var psk = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            A name or address of the server, besides localhost, 127.0.0.1 and ::1. Can be given more \
            than once.
            """, valueName: "name"))
    var host: [String] = []

    @Option(
        name: .long, help: ArgumentHelp("Name of the client.", valueName: "name"))
    var user = "client"

    @Option(
        name: .long, help: ArgumentHelp("Days for which certificates are valid.", valueName: "days")
    )
    var days = 3650

    func validate() throws {
        guard !user.isEmpty, user.utf8.count <= 64, user.allSatisfy({ !$0.isNewline && $0 != ":" })
        else {
            throw ValidationError(
                "--user \(user) has to be a name of 1 to 64 bytes, without a colon.")
        }
        guard (1...36_500).contains(days) else {
            throw ValidationError("--days is \(days), but has to be from 1 to 36500.")
        }
        if let wrong = host.first(where: { !TLSHost($0).isValid }) {
            throw ValidationError("--host \(wrong) is neither a host's name nor an address.")
        }
        guard !psk || host.isEmpty else {
            throw ValidationError("--host is for certificates; a key belongs to no host.")
        }
    }

    func run() throws {
        let kit = CredentialGenerator(
            directory: directory, hosts: host.map(TLSHost.init), user: user, days: days)
        standardOutput(psk ? try kit.makeKey() : try kit.makeCertificates())
    }
}
