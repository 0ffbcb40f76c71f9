// Which running server a command is about.

internal import ArgumentParser

struct WatchedServerOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            The server's control socket, or its process number. (default: that of the one server that is running, in \
            $XDG_RUNTIME_DIR/ramdisk-nbd or /run/ramdisk-nbd)
            """, valueName: "path|pid"),
        completion: .file())
    var control: UnixPath?

    /// A client of that server; it may not be there.
    func client() throws(Failure) -> ControlClient {
        if let control {
            let pid = Int32(control.path).flatMap(ControlSearch.socket(of:))
            return ControlClient(path: pid ?? control.path)
        }
        return ControlClient(path: try ControlSearch.theOnlyServer())
    }
}
