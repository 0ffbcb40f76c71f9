// Which running server a command is about.

internal import ProgramSupport
internal import ObservabilityClient
internal import KernelDisks
internal import ArgumentParser

struct MonitoredServerOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            The server's control socket, or its process number. (default: that of the one server of this \
            user's that is running; for root, of anybody's)
            """, valueName: "path|pid"),
        completion: .file())
    var control: String?

    /// A client of that server; it may not be there.
    func client() throws(Failure) -> ControlClient {
        if let control {
            return ControlClient(
                path: Int32(control).flatMap(ControlSearch().socket(of:)) ?? control)
        }
        return ControlClient(
            path: try ControlSearch(device: RuntimeDirectory.device(of:)).theOnlyServer())
    }
}
