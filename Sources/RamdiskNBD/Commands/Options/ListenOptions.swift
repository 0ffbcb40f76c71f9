// Where clients come from.

internal import ProgramSupport
internal import ArgumentParser
internal import LinuxHost
internal import LinuxIO

struct ListenOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Where to listen: HOST:PORT, HOST or [IPV6]:PORT; "*" is every address, port 0 picks a \
            free one. Can be given more than once. (default: localhost:10809, unless there is \
            another way in)
            """, valueName: "host:port"))
    var listen: [ListenAddress] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Listen on a Unix socket. Can be given more than once.", valueName: "path"),
        completion: .file(), transform: UnixPath.init(parsing:))
    var unix: [UnixPath] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Permissions of the Unix sockets' files, in octal: 600, 660, 666. Whoever may write may \
            connect. (default: what the umask leaves)
            """, valueName: "mode"),
        transform: mode)
    var unixMode: UInt32?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Whom the Unix sockets' files belong to, by number or name. (default: who runs this)
            """, valueName: "user[:group]"),
        transform: owner)
    var unixOwner: Listener.FileAccess?

    @Flag(
        name: .long,
        help: """
            Serve one client on standard input and output, and end when it is done: for inetd, and \
            for ssh. One socket is as fast as any; two pipes are slow.
            """)
    var stdio = false

    func validate() throws {
        guard !stdio || (listen.isEmpty && unix.isEmpty) else {
            throw ValidationError(
                "--stdio serves one client and listens nowhere: it cannot go with --listen or --unix."
            )
        }
        guard unixMode == nil && unixOwner == nil || !unix.isEmpty else {
            throw ValidationError(
                "--unix-mode and --unix-owner are about the files of --unix, which is not given.")
        }
    }

    /// Whether TCP is asked for, or nothing is.
    var isTCP: Bool { !listen.isEmpty || unix.isEmpty }

    /// The addresses that are asked for.
    var plan: ListenConfiguration {
        var access = unixOwner ?? Listener.FileAccess()
        access.mode = unixMode
        return ListenConfiguration(tcp: listen, unix: unix.map(\.path), unixAccess: access)
    }
}

private func mode(_ text: String) throws -> UInt32 {
    guard let mode = UInt32(text, radix: 8), mode <= 0o777, !text.hasPrefix("+") else {
        throw ValidationError("'\(text)' is no mode: give three octal digits, such as 660.")
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
