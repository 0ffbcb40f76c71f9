internal import ProgramSupport
internal import ArgumentParser
internal import LinuxIO

/// The addresses that the server listens on.
struct ListenOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Listen on this TCP address: HOST:PORT, HOST or [IPV6]:PORT. "*" is every address, port 0 \
            any free port. Repeatable. (default: localhost:10809, unless --unix, --stdio or systemd \
            gives a socket)
            """, valueName: "host:port"))
    var listen: [ListenAddress] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Listen on a Unix socket at this path. Repeatable.", valueName: "path"),
        completion: .file(), transform: UnixPath.init(parsing:))
    var unix: [UnixPath] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Permissions of the Unix socket files, in octal: 600, 660, 666. Users with write \
            permission can connect. (default: from the umask)
            """, valueName: "mode"),
        transform: Listener.FileAccess.mode(parsing:))
    var unixMode: UInt32?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Owner of the Unix socket files: names or ids. (default: the user of the server)
            """, valueName: "user[:group]"),
        transform: Listener.FileAccess.init(owner:))
    var unixOwner: Listener.FileAccess?

    @Flag(
        name: .long,
        help: """
            Serve one client on standard input and output, and end when it disconnects: for inetd \
            and ssh. A socket there is as fast as any other; two pipes are slow.
            """)
    var stdio = false

    func validate() throws {
        try require(
            !stdio || (listen.isEmpty && unix.isEmpty),
            "--stdio listens on no address: leave out --listen and --unix, or --stdio.")
        try require(
            unixMode == nil && unixOwner == nil || !unix.isEmpty,
            "--unix-mode and --unix-owner have no effect without --unix.")
    }

    /// Whether the server listens on TCP: by option or by default.
    var isTCP: Bool { !listen.isEmpty || unix.isEmpty }

    /// The configuration.
    var plan: ListenConfiguration {
        var access = unixOwner ?? Listener.FileAccess()
        access.mode = unixMode
        return ListenConfiguration(tcp: listen, unix: unix.map(\.path), unixAccess: access)
    }
}
