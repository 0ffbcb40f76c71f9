internal import TLSCredentials
internal import ProgramSupport
internal import ArgumentParser

/// `ramdisk-nbd tls`.
struct TLSCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tls",
        abstract: "Make certificates or keys for encrypted connections.",
        subcommands: [TLSInit.self])
}

/// `ramdisk-nbd tls init`.
struct TLSInit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make a CA and certificates for a server and a client, or a key.",
        usage: "ramdisk-nbd tls init <dir> [<options>]",
        discussion: """
            Writes all files into one directory, under the names that NBD tools expect: ca-cert.pem, \
            server-cert.pem, server-key.pem, client-cert.pem and client-key.pem; and ca-key.pem, which \
            signs more certificates. With --psk it writes one file, keys.psk. Only you can read secret \
            files, and no file is overwritten. The command prints what it has made, and the commands \
            that use it.

            EXAMPLES
              A server that other machines reach by a name and an address:
                ramdisk-nbd tls init certificates --host nas.example --host 192.0.2.7
                ramdisk-nbd serve --listen '*' --tls-certificates certificates \\
                  --tls-verify-peer

              One key, shared by alice and the server:
                ramdisk-nbd tls init keys --psk --user alice
                ramdisk-nbd serve --tls-psk keys/keys.psk
            """)

    @Argument(
        help: ArgumentHelp(
            "Directory for the files; created if it does not exist.", valueName: "dir"),
        completion: .directory)
    var directory: String

    @Flag(name: .long, help: "Make a pre-shared key instead of certificates.")
    var psk = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            A name or address of the server, besides localhost, 127.0.0.1 and ::1. Repeatable.
            """, valueName: "name"))
    var host: [String] = []

    @Option(
        name: .long, help: ArgumentHelp("Name of the client.", valueName: "name"))
    var user = "client"

    @Option(
        name: .long,
        help: ArgumentHelp("Days for which the certificates are valid.", valueName: "days")
    )
    var days = 3650

    func validate() throws {
        try require(
            !user.isEmpty && user.utf8.count <= 64
                && user.allSatisfy({ !$0.isNewline && $0 != ":" }),
            "--user \(user) must be a name of 1 to 64 bytes, without a colon.")
        try check("--days", days, in: 1...36_500)
        if let wrong = host.first(where: { !TLSHost($0).isValid }) {
            throw ValidationError("--host \(wrong) is neither a host name nor an address.")
        }
        try require(
            !psk || host.isEmpty, "--host has no effect with --psk: a key belongs to no host.")
    }

    func run() throws {
        let generator = CredentialGenerator(
            directory: directory, hosts: host.map(TLSHost.init), user: user, days: days)
        standardOutput(psk ? try generator.makeKey() : try generator.makeCertificates())
    }
}
