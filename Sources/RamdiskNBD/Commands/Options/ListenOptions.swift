// Where clients come from.

internal import ArgumentParser

struct ListenOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Where to listen: HOST:PORT, HOST or [IPV6]:PORT; "*" is every address, port 0 picks a \
            free one. Can be given more than once. (default: localhost:10809, unless --unix is given)
            """, valueName: "host:port"))
    var listen: [ListenAddress] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Listen on a Unix socket. Can be given more than once.", valueName: "path"),
        completion: .file())
    var unix: [UnixPath] = []

    /// The addresses that are asked for.
    var plan: ListenPlan {
        let isDefault = listen.isEmpty && unix.isEmpty
        return ListenPlan(
            tcp: isDefault ? [ListenAddress.standard] : listen, unix: unix.map(\.path))
    }
}
