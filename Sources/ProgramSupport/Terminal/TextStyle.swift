/// The style of a piece of text (ECMA-48, "SGR"). Its colours are among the sixteen that every terminal has and
/// whose shades its user chooses.
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

/// One line of text in pieces, each with its style. The width does not count the codes.
package struct StyledLine: Sendable {
    private var pieces: [(text: String, ink: TextStyle)] = []
    /// Characters so far. Each is one cell wide.
    package private(set) var width = 0

    /// A line of one piece.
    package init(_ text: String = "", _ ink: TextStyle = .plain) { add(text, ink) }

    /// Appends a piece.
    package mutating func add(_ text: String, _ ink: TextStyle = .plain) {
        guard !text.isEmpty else { return }
        pieces.append((text, ink))
        width += text.count
    }

    /// Appends spaces up to this width.
    package mutating func pad(to column: Int) {
        add(String(repeating: " ", count: max(0, column - width)))
    }

    /// Returns at most `limit` characters of the line, with codes for a terminal or as plain text.
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

/// Returns whether output should have colours. https://no-color.org
package func wantsColour(isTerminal: Bool, environment: [String: String]) -> Bool {
    isTerminal && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
}
