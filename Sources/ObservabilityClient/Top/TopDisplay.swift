package import ProgramSupport
package import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// A terminal with a picture on it. When this value goes, the terminal is as it was.
package struct TopDisplay: ~Copyable {
    private let terminal: Terminal

    /// Takes the terminal, and shows its other screen: what was on the first comes back in the end.
    package init() throws(Failure) {
        do throws(Errno) {
            terminal = try Terminal()
        } catch {
            throw .system("cannot use the terminal: \(error)")
        }
        // DEC private modes: 1049 is the other screen, 25 the cursor, 7 going on in the next line.
        terminal.write("\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l\u{1B}[2J")
    }

    /// Shows the lines in place of what was there. Nothing is cleared that is not written over in
    /// the same go; and mode 2026 has terminals that know it wait for the whole picture.
    package func show(_ lines: [StyledLine], size: Terminal.Size, coloured: Bool) {
        var text = "\u{1B}[?2026h\u{1B}[H"
        for (number, line) in lines.prefix(size.rows).enumerated() {
            if number > 0 { text += "\r\n" }
            text += line.text(coloured: coloured, limit: size.columns)
            // A line that is full leaves the cursor on its last character: nothing is behind that.
            if line.width < size.columns { text += "\u{1B}[K" }
        }
        terminal.write(text + "\u{1B}[J\u{1B}[?2026l")
    }

    /// What was typed; waits a little for it. Nil when the terminal is gone.
    package func readKeys(milliseconds: Int) -> [UInt8]? {
        terminal.readKeys(milliseconds: milliseconds)
    }

    deinit {
        terminal.write("\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l")
    }
}
