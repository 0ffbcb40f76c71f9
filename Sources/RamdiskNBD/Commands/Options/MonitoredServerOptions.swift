internal import ProgramSupport
internal import ObservabilityClient
internal import KernelDisks
internal import ArgumentParser

/// The running server that a command asks.
struct MonitoredServerOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            The server's control socket, or its pid. (default: the only running server of this user; \
            for root, of any user)
            """, valueName: "path|pid"),
        completion: .file())
    var control: String?

    /// A client of that server, which may not be running.
    func client() throws(Failure) -> ControlClient {
        if let control {
            return ControlClient(
                path: Int32(control).flatMap(ControlSearch().socket(of:)) ?? control)
        }
        return ControlClient(
            path: try ControlSearch(device: RuntimeDirectory.device(of:)).theOnlyServer())
    }

    /// Has the server perform a command that has no result.
    func perform(
        _ method: String, _ path: String, _ parameters: [String: String?]
    ) throws {
        struct Nothing: Decodable {}
        _ = try client().perform(method, path, parameters, as: Nothing.self)
    }
}
