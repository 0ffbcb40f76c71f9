internal import ArgumentParser
internal import ObservabilityClient
internal import ProgramSupport

/// The name of a snapshot or checkpoint on the command line.
struct ContentArgument: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "NAME, or DISK@NAME. Without a disk, the server's first.", valueName: "[disk@]name"),
        completion: .content)
    var name: String

    /// The parameters for the server.
    var parameters: [String: String?] {
        // "@NAME", as those of the first disk are exported, means a disk without a name.
        guard let (disk, name) = Self.split(name) else { return ["name": name] }
        return ["disk": disk, "name": name]
    }

    /// Returns the parameters for the server, with a switch.
    func parameters(_ name: String, _ isSet: Bool) -> [String: String?] {
        parameters.merging([name: "\(isSet)"]) { $1 }
    }

    /// Splits DISK@NAME at the last "@", which only a disk's name can contain. Returns nil when there is none.
    static func split(_ text: String) -> (disk: String, name: String)? {
        guard let at = text.lastIndex(of: "@") else { return nil }
        return (String(text[..<at]), String(text[text.index(after: at)...]))
    }
}

/// The options of a command that lists what a server has.
struct ContentListOptions: ParsableArguments {
    @Flag(name: .long, help: "Print an array of JSON objects.")
    var json = false

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    /// Prints what the server has under a path.
    func print<Row: Codable>(_ path: String, _ table: ([Row]) -> String) throws {
        let rows = try server.client().perform("GET", path, as: [Row].self)
        standardOutput(json ? try jsonLine(rows) : table(rows))
    }
}
