/// A key of a configuration file, with its value.
struct Setting: Sendable, Equatable {
    /// The value of a key.
    enum Value: Sendable, Equatable {
        /// A string, or an integer as it is written.
        case text(String)
        /// `true` or `false`.
        case flag(Bool)
        /// An array of strings and integers.
        case list([String])
    }

    let key: String
    let value: Value
    /// The line on which the key is, from 1 on.
    let line: Int
}

/// Reads the part of TOML 1.0 that a command line needs: keys with strings, decimal integers, booleans and arrays.
/// Everything that it accepts means the same to every TOML parser. https://toml.io/en/v1.0.0
///
/// The TOML libraries drop what this program needs: the line of a key, for errors, and the digits of an integer, since
/// 0660 must not become 432. Therefore this reader exists.
struct ConfigurationReader {
    /// An error on a line.
    struct SyntaxError: Error, Equatable {
        let line: Int
        let key: String?
        let message: String
    }

    private let bytes: [UInt8]
    private var position = 0
    private var line = 1
    private var key: String?
    private var isInList = false

    private init(_ text: String) { bytes = Array(text.utf8) }

    /// Returns the settings of a text in their order, and every line that is wrong.
    static func read(_ text: String) -> (settings: [Setting], errors: [SyntaxError]) {
        var reader = ConfigurationReader(text)
        var settings: [Setting] = []
        var errors: [SyntaxError] = []
        while !reader.isAtEnd {
            do throws(SyntaxError) {
                guard let setting = try reader.readLine() else { continue }
                if let first = settings.first(where: { $0.key == setting.key }) {
                    errors.append(
                        SyntaxError(
                            line: setting.line, key: setting.key,
                            message: "the key is on line \(first.line) already: give it once"))
                } else {
                    settings.append(setting)
                }
            } catch {
                errors.append(error)
                // Do not parse the continuation lines of an array as settings.
                if reader.isInList { break }
                reader.skipLine()
            }
        }
        return (settings, errors)
    }

    // MARK: - Lines

    /// Reads a line, or the lines of an array. Returns nil for a line without a key.
    private mutating func readLine() throws(SyntaxError) -> Setting? {
        key = nil
        skipSpaces()
        if peek == UInt8(ascii: "[") {
            throw wrong("there are no tables here: leave this line out")
        }
        guard let byte = peek, byte != UInt8(ascii: "#"), !isAtLineEnd else {
            try endLine()
            return nil
        }
        let start = line
        let name = try readKey()
        key = name
        skipSpaces()
        guard take("=") else { throw wrong("an equals sign must follow the key: \(name) = …") }
        skipSpaces()
        let value = try readValue()
        skipSpaces()
        try endLine()
        return Setting(key: name, value: value, line: start)
    }

    private mutating func readKey() throws(SyntaxError) -> String {
        let name = takeWhile(\.isOfWord)
        guard !name.isEmpty else {
            throw wrong("a line begins with a key, such as size = \"1G\", or with # for a comment")
        }
        guard peek != UInt8(ascii: ".") else {
            throw wrong("there are no tables here: a key has no dots")
        }
        return name
    }

    /// Reads a comment, if there is one, and the end of the line.
    private mutating func endLine() throws(SyntaxError) {
        if take("#") {
            let isPlain = { (byte: UInt8) in byte >= 0x20 && byte != 0x7f || byte == 0x09 }
            _ = takeWhile { isPlain($0) }
        }
        guard isAtLineEnd else {
            guard let byte = peek, byte > 0x20, byte != 0x7f else {
                throw wrong("the line has a control character")
            }
            throw wrong("nothing but a comment may follow the value")
        }
        _ = takeLineEnd()
    }

    // MARK: - Values

    private mutating func readValue() throws(SyntaxError) -> Setting.Value {
        guard take("[") else { return try readScalar() }
        var list: [String] = []
        isInList = true
        try skipBlank()
        while !take("]") {
            guard peek != UInt8(ascii: "["), case .text(let text) = try readScalar() else {
                throw wrong("a list has texts in quotes only")
            }
            list.append(text)
            try skipBlank()
            guard take(",") || peek == UInt8(ascii: "]") else {
                throw wrong("a comma must separate the values of a list, and a ] end it")
            }
            try skipBlank()
        }
        isInList = false
        return .list(list)
    }

    private mutating func readScalar() throws(SyntaxError) -> Setting.Value {
        for quote in ["\"\"\"", "'''"] where starts(with: quote) {
            throw wrong("a text ends on its line: use one quote, not three")
        }
        if take("\"") { return .text(try readString()) }
        if take("'") { return .text(try readLiteral()) }
        let word = takeWhile { $0 > 0x20 && $0 != 0x7f && !",]#".utf8.contains($0) }
        switch word {
        case "true": return .flag(true)
        case "false": return .flag(false)
        case "": throw wrong("the value is missing")
        default: return .text(try integer(word))
        }
    }

    /// Returns the digits of a decimal integer, without the underscores between them.
    private func integer(_ word: String) throws(SyntaxError) -> String {
        let groups = word.utf8.split(separator: UInt8(ascii: "_"), omittingEmptySubsequences: false)
        let digits = word.replacing("_", with: "")
        guard groups.allSatisfy({ !$0.isEmpty && $0.allSatisfy(\.isDigit) }),
            digits == "0" || !digits.hasPrefix("0"), Int64(digits) != nil
        else { throw wrong("a text needs quotes: \(key ?? "key") = \"\(word)\"") }
        return digits
    }

    /// Reads the rest of a string in single quotes, which has no escapes.
    private mutating func readLiteral() throws(SyntaxError) -> String {
        let text = takeWhile { $0 != UInt8(ascii: "'") && $0.isPrintable }
        guard take("'") else { throw unfinishedText }
        return text
    }

    /// Reads the rest of a string in double quotes.
    private mutating func readString() throws(SyntaxError) -> String {
        var text = ""
        while true {
            text += takeWhile { !"\"\\".utf8.contains($0) && $0.isPrintable }
            if take("\"") { return text }
            guard take("\\") else { throw unfinishedText }
            text.unicodeScalars.append(try readEscape())
        }
    }

    private var unfinishedText: SyntaxError {
        isAtEnd || isAtLineEnd
            ? wrong("the text has no end on its line: add the quote")
            : wrong("the text has a control character: write it as an escape, such as \\u001b")
    }

    private mutating func readEscape() throws(SyntaxError) -> Unicode.Scalar {
        let simple: [UInt8: Unicode.Scalar] = [
            UInt8(ascii: "b"): "\u{8}", UInt8(ascii: "t"): "\t", UInt8(ascii: "n"): "\n",
            UInt8(ascii: "f"): "\u{c}", UInt8(ascii: "r"): "\r", UInt8(ascii: "\""): "\"",
            UInt8(ascii: "\\"): "\\",
        ]
        let letter = peek ?? 0
        if let scalar = simple[letter] {
            position += 1
            return scalar
        }
        let count = [UInt8(ascii: "u"): 4, UInt8(ascii: "U"): 8][letter] ?? 0
        let digits = bytes[min(position + 1, bytes.count)...].prefix(count)
        guard count > 0, digits.count == count, digits.allSatisfy(\.isHexadecimal),
            let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
            code > 0, let scalar = Unicode.Scalar(code)
        else {
            throw wrong(
                "\\ begins an escape, such as \\\\, \\\" or \\u00e9: use '…' for a text without")
        }
        position += 1 + count
        return scalar
    }

    // MARK: - Bytes

    private var isAtEnd: Bool { position == bytes.count }
    private var peek: UInt8? { isAtEnd ? nil : bytes[position] }
    private var isAtLineEnd: Bool { isAtEnd || starts(with: "\n") || starts(with: "\r\n") }

    private func starts(with text: String) -> Bool { bytes[position...].starts(with: text.utf8) }

    private mutating func take(_ text: String) -> Bool {
        guard starts(with: text) else { return false }
        position += text.utf8.count
        return true
    }

    private mutating func takeWhile(_ isWanted: (UInt8) -> Bool) -> String {
        let run = bytes[position...].prefix(while: isWanted)
        position = run.endIndex
        return String(decoding: run, as: UTF8.self)
    }

    private mutating func takeLineEnd() -> Bool {
        guard take("\n") || take("\r\n") else { return false }
        line += 1
        return true
    }

    private mutating func skipSpaces() { _ = takeWhile { $0 == 0x20 || $0 == 0x09 } }

    /// Skips white space, comments and line ends between the values of a list. Throws at the end of the file.
    private mutating func skipBlank() throws(SyntaxError) {
        skipSpaces()
        while !isAtEnd, peek == UInt8(ascii: "#") || isAtLineEnd {
            try endLine()
            skipSpaces()
        }
        guard !isAtEnd else { throw wrong("the list has no end: add a ]") }
    }

    private mutating func skipLine() {
        while !isAtEnd, !takeLineEnd() { position += 1 }
    }

    private func wrong(_ message: String) -> SyntaxError {
        SyntaxError(line: line, key: key, message: message)
    }
}

extension UInt8 {
    fileprivate var isDigit: Bool { (0x30...0x39).contains(self) }
    fileprivate var isHexadecimal: Bool {
        isDigit || (0x41...0x46).contains(self) || (0x61...0x66).contains(self)
    }
    /// Whether a bare key may contain it.
    fileprivate var isOfWord: Bool {
        isDigit || (0x41...0x5a).contains(self) || (0x61...0x7a).contains(self)
            || self == UInt8(ascii: "-") || self == UInt8(ascii: "_")
    }
    /// Whether a text may contain it without an escape.
    fileprivate var isPrintable: Bool { self >= 0x20 && self != 0x7f || self == 0x09 }
}
