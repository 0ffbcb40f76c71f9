internal import ArgumentParser

/// The name of a snapshot or checkpoint on the command line.
struct ContentArgument: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "NAME, or DISK@NAME. Without a disk, the server's first.", valueName: "[disk@]name"),
        completion: .content)
    var name: String

    /// The parameters for the server.
    var parameters: [String: String?] {
        guard let at = name.lastIndex(of: "@") else { return ["name": name] }
        // "@NAME", as those of the first disk are exported, means a disk without a name.
        return ["disk": String(name[..<at]), "name": String(name[name.index(after: at)...])]
    }
}

/// What a server returns for a command without a result.
struct Nothing: Decodable {}
