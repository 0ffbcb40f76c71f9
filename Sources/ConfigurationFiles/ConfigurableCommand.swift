internal import FoundationEssentials

/// A command whose options can come from a file. Which those are, and what values they take, only the parser of
/// command lines knows.
package struct ConfigurableCommand: Sendable {
    /// The command's name on the command line.
    package let name: String
    /// The options that have a key, by their keys.
    package let options: [String: ConfigurableOption]
    /// Parses arguments of the command. Returns what is wrong with them; nil if nothing is.
    package let problem: @Sendable ([String]) -> String?

    /// - Parameter help: the description of the command that swift-argument-parser writes for
    ///   `--experimental-dump-help`.
    package init(
        _ name: String, help: String, problem: @escaping @Sendable ([String]) -> String?
    ) throws {
        let tool = try JSONDecoder().decode(ToolDescription.self, from: Data(help.utf8))
        let options = (tool.command.arguments ?? []).compactMap { option in
            option.key.map { ($0, option) }
        }
        self.name = name
        self.options = Dictionary(options) { first, _ in first }
        self.problem = problem
    }
}

/// The part of the parser's description that is needed here.
private struct ToolDescription: Decodable {
    struct Command: Decodable {
        let arguments: [ConfigurableOption]?
    }

    let command: Command
}

/// An option, as the parser describes it.
package struct ConfigurableOption: Sendable, Decodable {
    package enum Kind: String, Sendable, Decodable {
        case positional, option, flag
    }

    private struct Name: Sendable, Decodable {
        let kind: String
        let name: String
    }

    /// The ways to complete a value, of which one is the only key.
    private struct Completion: Sendable, Decodable {
        var file: [String: [String]]?
        var directory: [String: [String]]?
    }

    package let kind: Kind
    /// Whether it can be given several times.
    package let isRepeating: Bool
    private let shouldDisplay: Bool
    private let names: [Name]?
    private let completionKind: Completion?

    /// Whether its value is the path of a file or directory.
    package var isPath: Bool { completionKind?.file != nil || completionKind?.directory != nil }

    /// The key, which is the long name; nil for hidden options, and those that only print something.
    fileprivate var key: String? {
        guard kind != .positional, shouldDisplay,
            let name = names?.first(where: { $0.kind == "long" })?.name,
            !["help", "version"].contains(name)
        else { return nil }
        return name
    }

    /// Returns the arguments that a value stands for. Throws a sentence when it is no value for this option.
    func arguments(key: String, _ value: Setting.Value) throws(Mismatch) -> [String] {
        switch (kind, value) {
        case (.flag, .flag(let isSet)): return isSet ? ["--\(key)"] : []
        case (.flag, _): throw Mismatch("it is a flag: give true or false, without quotes")
        case (_, .flag): throw Mismatch("it needs a value: give a text in quotes")
        case (_, .text(let text)): return try argument(key, text)
        case (_, .list(let texts)):
            guard isRepeating else { throw Mismatch("it takes one value, not a list") }
            var arguments: [String] = []
            for text in texts { arguments += try argument(key, text) }
            return arguments
        }
    }

    private func argument(_ key: String, _ text: String) throws(Mismatch) -> [String] {
        // A service has another directory than the shell in which the file was checked.
        guard !isPath || text.isEmpty || text.hasPrefix("/") || Self.isSnapshot(key, text) else {
            throw Mismatch("\"\(text)\" is a relative path: give one that begins with a slash")
        }
        // The parser takes "--key=" for an option without a value, and "--key" "-m" for two options.
        return text.isEmpty ? ["--\(key)", ""] : ["--\(key)=\(text)"]
    }

    /// Whether a value is the DISK@SNAPSHOT of `--template`, which takes a path or that.
    private static func isSnapshot(_ key: String, _ text: String) -> Bool {
        key == "template" && text.contains("@") && !text.contains("/")
    }
}

/// A value is of the wrong kind for its option.
struct Mismatch: Error {
    let message: String

    init(_ message: String) { self.message = message }
}
