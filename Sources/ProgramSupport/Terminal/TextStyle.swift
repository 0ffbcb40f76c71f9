/// What a piece of text looks like. ECMA-48, "SGR"; the sixteen colours that every terminal has and
/// that its user has chosen.
package enum TextStyle: Sendable {
    case plain, bold, dim, inverse
    case red, green, yellow, blue, magenta, cyan

    fileprivate var code: Int {
        switch self {
        case .plain: 0
        case .bold: 1
        case .dim: 2
        case .inverse: 7
        case .red: 31
        case .green: 32
        case .yellow: 33
        case .blue: 34
        case .magenta: 35
        case .cyan: 36
        }
    }
}

/// One line of text in pieces, each with its ink. Its width is known without the codes.
package struct StyledLine: Sendable {
    private var pieces: [(text: String, ink: TextStyle)] = []
    /// Characters so far. All of ours are as wide as one cell.
    package private(set) var width = 0

    /// A line of one piece.
    package init(_ text: String = "", _ ink: TextStyle = .plain) { add(text, ink) }

    /// Puts a piece to its end.
    package mutating func add(_ text: String, _ ink: TextStyle = .plain) {
        guard !text.isEmpty else { return }
        pieces.append((text, ink))
        width += text.count
    }

    /// Puts spaces to its end until it is so wide.
    package mutating func pad(to column: Int) {
        add(String(repeating: " ", count: max(0, column - width)))
    }

    /// The line, at most `limit` characters of it, with codes for a terminal or as bare text.
    package func text(coloured: Bool, limit: Int = .max) -> String {
        var left = limit
        var result = ""
        for piece in pieces where left > 0 {
            let text = piece.text.count <= left ? piece.text : String(piece.text.prefix(left))
            left -= text.count
            if coloured, piece.ink.code != 0 {
                result += "\u{1B}[\(piece.ink.code)m\(text)\u{1B}[0m"
            } else {
                result += text
            }
        }
        return result
    }
}

/// Whether what is written to a terminal should have colours. https://no-color.org
package func wantsColour(isTerminal: Bool, environment: [String: String]) -> Bool {
    isTerminal && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
}
