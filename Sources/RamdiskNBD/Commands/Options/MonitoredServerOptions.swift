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
    func client() throws(Failure) -> ControlClient { try .of(control, option: "--control") }

    /// Has the server perform a command that has no result.
    func perform(
        _ method: String, _ path: String, _ parameters: [String: String?]
    ) throws {
        struct Nothing: Decodable {}
        _ = try client().perform(method, path, parameters, as: Nothing.self)
    }
}

extension ControlClient {
    /// Returns a client of a server, which may not be running.
    ///
    /// - Parameters:
    ///   - server: its control socket or its pid; nil for the only running server.
    ///   - option: the option that names it, for errors.
    ///   - users: the users whose servers are searched; nil for all.
    static func of(
        _ server: String?, option: String, users: Set<UInt32>? = nil
    ) throws(Failure) -> ControlClient {
        let search = ControlSearch(
            option: option, users: users, device: RuntimeDirectory.device(of:))
        if let server {
            return ControlClient(
                path: Int32(server).flatMap(search.socket(of:)) ?? server, option: option)
        }
        return ControlClient(path: try search.theOnlyServer(), option: option)
    }
}
