internal import ProgramSupport
internal import ArgumentParser
internal import LinuxHost
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
        transform: mode)
    var unixMode: UInt32?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Owner of the Unix socket files: names or ids. (default: the user of the server)
            """, valueName: "user[:group]"),
        transform: owner)
    var unixOwner: Listener.FileAccess?

    @Flag(
        name: .long,
        help: """
            Serve one client on standard input and output, and end when it disconnects: for inetd \
            and ssh. A socket there is as fast as any other; two pipes are slow.
            """)
    var stdio = false

    func validate() throws {
        guard !stdio || (listen.isEmpty && unix.isEmpty) else {
            throw ValidationError(
                "--stdio listens on no address: leave out --listen and --unix, or --stdio."
            )
        }
        guard unixMode == nil && unixOwner == nil || !unix.isEmpty else {
            throw ValidationError(
                "--unix-mode and --unix-owner have no effect without --unix.")
        }
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

private func mode(_ text: String) throws -> UInt32 {
    guard let mode = UInt32(text, radix: 8), mode <= 0o777, !text.hasPrefix("+") else {
        throw ValidationError("'\(text)' is not a file mode: give three octal digits, such as 660.")
    }
    return mode
}

/// `user`, `user:group` or `:group`.
private func owner(_ text: String) throws -> Listener.FileAccess {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        .map(String.init)
    var access = Listener.FileAccess()
    guard parts.contains(where: { !$0.isEmpty }) else {
        throw ValidationError("'\(text)' names neither a user nor a group.")
    }
    if !parts[0].isEmpty {
        guard let user = Account.user(parts[0]) else {
            throw ValidationError("There is no user '\(parts[0])'.")
        }
        access.uid = user.uid
    }
    if parts.count == 2 {
        guard let group = Account.gid(parts[1]) else {
            throw ValidationError("There is no group '\(parts[1])'.")
        }
        access.gid = group
    }
    return access
}
