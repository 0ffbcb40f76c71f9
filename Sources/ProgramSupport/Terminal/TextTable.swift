/// A table of plain text with a header row. Two spaces separate the columns, and each column is as
/// wide as its widest cell.
package struct TextTable {
    /// The title of a column, and the side on which its cells begin.
    package struct Column {
        fileprivate let title: String
        fileprivate let isLeftAligned: Bool

        /// A column whose cells are aligned on the left, as for words.
        package static func left(_ title: String) -> Column {
            Column(title: title, isLeftAligned: true)
        }

        /// A column whose cells are aligned on the right, as for numbers.
        package static func right(_ title: String) -> Column {
            Column(title: title, isLeftAligned: false)
        }
    }

    private let columns: [Column]
    /// The titles, then the cells of each row.
    private let lines: [[String]]
    private let widths: [Int]

    /// - Parameters:
    ///   - rows: for each row, one cell for each column.
    package init(_ columns: [Column], rows: [[String]]) {
        let lines = [columns.map(\.title)] + rows
        self.columns = columns
        self.lines = lines
        widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    }

    /// The whole table, one line for each row.
    package var text: String { text(of: columns.indices) }

    /// Returns the table in parts whose lines have at most `width` characters, where cells allow
    /// that. Columns that do not fit in one part follow in the next, which repeats the first
    /// column.
    package func parts(width: Int) -> [String] {
        var parts: [String] = []
        var next = 1
        repeat {
            var part = [0]
            var used = widths[0]
            while next < columns.count, part.count == 1 || used + 2 + widths[next] <= width {
                used += 2 + widths[next]
                part.append(next)
                next += 1
            }
            parts.append(text(of: part))
        } while next < columns.count
        return parts
    }

    private func text(of indices: some Sequence<Int>) -> String {
        lines.map { line in
            let cells = indices.map { index in
                columns[index].isLeftAligned
                    ? line[index].left(widths[index]) : line[index].right(widths[index])
            }
            return cells.joined(separator: "  ").withoutTrailingSpaces + "\n"
        }.joined()
    }
}
