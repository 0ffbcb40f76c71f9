import Foundation
import Harness
import Testing

@testable import ConfigurationFiles

@Suite("The reader of TOML") struct ConfigurationReaderTests {
    /// A text without errors as JSON; nil with one.
    private func json(_ text: String) throws -> NSDictionary? {
        let (settings, errors) = ConfigurationReader.read(text)
        guard errors.isEmpty else { return nil }
        return settings.reduce(into: NSMutableDictionary()) { result, setting in
            switch setting.value {
            case .text(let text): result[setting.key] = text
            case .flag(let flag): result[setting.key] = flag ? "true" : "false"
            case .list(let list): result[setting.key] = list
            }
        }
    }

    @Test("reads what Python's tomllib reads, and accepts nothing that tomllib does not")
    func python() async throws {
        let directory = try TemporaryDirectory()
        var random = SystemRandomNumberGenerator()
        let texts = (0..<3_000).map { _ in Self.text(&random) }
        let input = directory.file("texts.json")
        try JSONSerialization.data(withJSONObject: texts).write(to: URL(filePath: input))
        let output = try await Program("python3", package: "python3")("-c", Self.script, input)
        let data = Data(output.utf8)
        let theirs = try #require(try JSONSerialization.jsonObject(with: data) as? [Any])
        var accepted = 0
        for (text, their) in zip(texts, theirs) {
            guard let ours = try json(text) else { continue }
            accepted += 1
            #expect(their as? NSDictionary == ours, "\(text.debugDescription)")
        }
        // Both kinds must occur, or this shows nothing.
        #expect(accepted > 300)
        #expect(accepted < 2_700)
    }

    /// Prints, for each text, its values as texts, or null where it is no TOML.
    private static let script = """
        import json, sys, tomllib
        def plain(value):
            if isinstance(value, list): return [plain(part) for part in value]
            if isinstance(value, bool): return str(value).lower()
            return str(value)
        def read(text):
            try:
                return {key: plain(value) for key, value in tomllib.loads(text).items()}
            except tomllib.TOMLDecodeError:
                return None
        with open(sys.argv[1]) as file:
            print(json.dumps([read(text) for text in json.load(file)]))
        """

    private static let values = [
        "\"x\"", "'y'", "\"\\n\"", "\"\\u00e9\"", "'\\'", "\"ä€\"", "true", "false", "0", "17",
        "1_0",
        "[1, 2]", "['p', \"q\",\n]", "[]", "[ # c\n\n'#', ]", "'a' # c", "\t'a'\t", "'a'\r",
    ]
    private static let pieces = [
        "a", "b-c", "_1", "=", "\n", "\r", "\t", "#", " # c\n", "\"\\q\"", "-0", "+1", "1_", "007",
        "0x1f",
        "1.5", "[", "]", ",", "\"", "'", ".", "{}", "\u{1}", "\u{7f}", "1979-05-27", "-5",
        "\nk0 = 1",
    ]

    /// A text that is mostly lines of a key and a value, with other pieces here and there.
    private static func text(_ random: inout SystemRandomNumberGenerator) -> String {
        var text = ""
        for index in 0..<Int.random(in: 1...3, using: &random) {
            text += "k\(index)\(Bool.random(using: &random) ? " = " : "=")"
            text += values.randomElement(using: &random) ?? ""
            if Int.random(in: 0..<4, using: &random) == 0 {
                text += pieces.randomElement(using: &random) ?? ""
            }
            text += "\n"
        }
        // Some texts end anywhere.
        return Int.random(in: 0..<3, using: &random) > 0
            ? text : String(text.prefix(Int.random(in: 0...text.count, using: &random)))
    }
}
