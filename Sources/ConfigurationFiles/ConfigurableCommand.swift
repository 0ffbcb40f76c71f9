internal import FoundationEssentials

/// A command whose options can come from a file. Its options and their values come from the description that the
/// command-line parser gives.
package struct ConfigurableCommand: Sendable {
    /// The value of the key `command` that chooses it.
    package let name: String
    /// The words that choose it on the command line.
    package let words: [String]
    /// The key that has the file's name as its value unless the file gives another one; nil for none.
    package let nameKey: String?
    /// The options that have a key, by their keys.
    package let options: [String: ConfigurableOption]
    /// Parses arguments of the command. Returns the error; nil if there is none.
    package let problem: @Sendable ([String]) -> String?

    /// - Parameters:
    ///   - words: those of the command on the command line; nil: its name.
    ///   - help: the description of the command that swift-argument-parser writes for `--experimental-dump-help`.
    package init(
        _ name: String, words: [String]? = nil, nameKey: String? = nil, help: String,
        problem: @escaping @Sendable ([String]) -> String?
    ) throws {
        let tool = try JSONDecoder().decode(ToolDescription.self, from: Data(help.utf8))
        let options = (tool.command.arguments ?? []).compactMap { option in
            option.key.map { ($0, option) }
        }
        self.name = name
        self.words = words ?? [name]
        self.nameKey = nameKey
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

    /// The ways to complete a value. In the description, exactly one of them is present.
    private struct Completion: Sendable, Decodable {
        var file: [String: [String]]?
        var directory: [String: [String]]?
    }

    package let kind: Kind
    /// Whether it can be given several times.
    package let isRepeating: Bool
    private let shouldDisplay: Bool
    private let names: [Name]?
    private let valueName: String?
    private let completionKind: Completion?

    /// Whether its value is the path of a file or directory.
    package var isPath: Bool { completionKind?.file != nil || completionKind?.directory != nil }

    /// The key: the long name, or the plural of the word that help has for an argument. Nil for hidden options, and
    /// those that only print something.
    fileprivate var key: String? {
        if kind == .positional { return valueName.map { $0 + "s" } }
        guard shouldDisplay,
            let name = names?.first(where: { $0.kind == "long" })?.name,
            !["help", "version"].contains(name)
        else { return nil }
        return name
    }

    /// Returns the arguments that a value stands for. Throws a ``Mismatch`` when the value is of the wrong kind for
    /// this option.
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
        // The working directory of a service differs from that of the shell in which the file was checked.
        let isFile = kind == .positional && text.hasPrefix("@")
        let isPath = isPath && !Self.isSnapshot(key, text)
        let path: Substring? = isFile ? text.dropFirst() : isPath ? text[...] : nil
        if let path, !path.isEmpty, !path.hasPrefix("/") {
            throw Mismatch("\"\(path)\" is a relative path: give one that begins with a slash")
        }
        if kind == .positional {
            guard !text.isEmpty, !text.hasPrefix("-") else {
                throw Mismatch("\"\(text)\" is not a value: options have keys of their own")
            }
            return [text]
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
