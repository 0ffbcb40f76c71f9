// Which running server a command is about.

internal import ArgumentParser

struct WatchedServerOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            The server's control socket. (default: that of the one server that is running, in \
            $XDG_RUNTIME_DIR/ramdisk-nbd or /run/ramdisk-nbd)
            """, valueName: "path"),
        completion: .file())
    var control: UnixPath?

    /// A client of that server; it may not be there.
    func client() throws(Failure) -> ControlClient {
        if let control { return ControlClient(path: control.path) }
        return ControlClient(path: try ControlSearch.theOnlyServer())
    }
}
