import Harness

extension Program.Ending {
    /// The last line on standard error; log lines may come before it.
    var lastLine: String { errors.split(separator: "\n").last.map(String.init) ?? "" }

    /// Whether standard error is one line of the program's own that contains all of these texts.
    func isOneSentence(naming things: String...) -> Bool {
        errors.split(separator: "\n").count == 1 && errors.hasPrefix("ramdisk-nbd: error: ")
            && things.allSatisfy { errors.contains($0) }
    }
}
