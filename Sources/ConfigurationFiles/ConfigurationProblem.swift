/// An error in a configuration file.
package struct ConfigurationProblem: Sendable, Equatable, Encodable, CustomStringConvertible {
    /// The path of the file.
    package let file: String
    /// The line, from 1 on; nil for the file as a whole.
    package let line: Int?
    /// The key; nil for a line without a usable key.
    package let key: String?
    /// One sentence that says what is wrong, and what to do.
    package let message: String

    /// All keys except `file`, which is encoded once for all problems of a file.
    private enum CodingKeys: CodingKey {
        case line, key, message
    }

    /// `FILE:LINE: KEY: MESSAGE`, which editors understand.
    package var description: String {
        file + (line.map { ":\($0)" } ?? "") + ": " + (key.map { "\($0): " } ?? "") + message
    }
}

/// The problems of one configuration file, at least one, in the order of its lines.
package struct ConfigurationProblems: Error, Sendable, Equatable, CustomStringConvertible {
    package let problems: [ConfigurationProblem]

    /// A line for each problem.
    package var description: String { problems.map(\.description).joined(separator: "\n") }
}
