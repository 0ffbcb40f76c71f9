internal import Observability

/// The names that people give to snapshots, clones and checkpoints.
enum ContentName {
    /// Throws unless a name has 1 to 128 letters, digits and `-._` of ASCII, and begins with a letter or digit.
    ///
    /// - Parameter kind: the kind of thing that has the name, for the error.
    static func check(_ name: String, of kind: String) throws(ControlError) {
        let isGood =
            (1...128).contains(name.utf8.count) && name.first?.isASCIILetterOrDigit == true
            && name.allSatisfy { $0.isASCIILetterOrDigit || "-._".contains($0) }
        guard isGood else {
            throw ControlError(
                .invalid,
                "\"\(name.prefix(140))\" is not a valid name for a \(kind): use up to 128 letters, digits, "
                    + "\"-\", \".\" and \"_\", and begin with a letter or digit")
        }
    }

    /// Returns the parameter of a command that names a snapshot, clone or checkpoint.
    static func parameter(of command: ControlCommand, _ kind: String) throws(ControlError) -> String
    {
        guard let name = command.parameters["name"] else {
            throw ControlError(
                .invalid, "the parameter \"name\" is missing: the name of a \(kind)")
        }
        return name
    }
}

extension Character {
    fileprivate var isASCIILetterOrDigit: Bool { isASCII && (isLetter || isNumber) }
}
