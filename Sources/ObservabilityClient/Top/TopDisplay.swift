internal import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// The terminal while `top` draws on its alternate screen. Destroying the value restores the
/// terminal.
struct TopDisplay: ~Copyable {
    private let terminal: Terminal

    /// Puts the terminal into raw mode and switches to its alternate screen. The main screen keeps
    /// its contents.
    init() throws(Failure) {
        do throws(Errno) {
            terminal = try Terminal()
        } catch {
            throw .system("cannot use the terminal: \(error)")
        }
        // DEC private modes: 1049 is the alternate screen, 25 the cursor, 7 wrapping at the end of
        // a line.
        terminal.write("\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l\u{1B}[2J")
    }

    /// Replaces the contents of the screen. To avoid flicker it overwrites lines rather than
    /// clearing the screen, and uses mode 2026 (synchronized output), in which terminals that
    /// support it draw nothing before the update is complete.
    func show(_ lines: [StyledLine], size: Terminal.Size, coloured: Bool) {
        var text = "\u{1B}[?2026h\u{1B}[H"
        for (row, line) in lines.prefix(size.rows).enumerated() {
            if row > 0 { text += "\r\n" }
            text += line.text(coloured: coloured, limit: size.columns)
            // A line of full width leaves the cursor on its last character, which erasing to the
            // end of the line would remove.
            if line.width < size.columns { text += "\u{1B}[K" }
        }
        terminal.write(text + "\u{1B}[J\u{1B}[?2026l")
    }

    /// Waits up to `milliseconds` for keys and returns those that were pressed; nil when the
    /// terminal has been closed.
    func readKeys(milliseconds: Int) -> [UInt8]? {
        terminal.readKeys(milliseconds: milliseconds)
    }

    deinit {
        terminal.write("\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l")
    }
}
