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
        // "@NAME", as those of the first disk are exported, means a disk without a name.
        guard let (disk, name) = Self.split(name) else { return ["name": name] }
        return ["disk": disk, "name": name]
    }

    /// Splits DISK@NAME at the last "@", which only a disk's name can contain. Returns nil when there is none.
    static func split(_ text: String) -> (disk: String, name: String)? {
        guard let at = text.lastIndex(of: "@") else { return nil }
        return (String(text[..<at]), String(text[text.index(after: at)...]))
    }
}

/// What a server returns for a command without a result.
struct Nothing: Decodable {}
