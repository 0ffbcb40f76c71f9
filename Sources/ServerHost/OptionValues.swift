package import Confinement
internal import LinuxHost
internal import NBDProtocol
package import ProgramSupport

/// A disk with a name: `NAME` or `NAME=SIZE`. A name may contain equals signs: the last one separates a size
/// if the text after it can be meant as one.
package struct ExportRequest: Sendable, Equatable {
    package var name: String
    package var size: ByteCount?

    package init(name: String, size: ByteCount?) {
        self.name = name
        self.size = size
    }

    /// Throws a sentence that says what is wrong.
    package init(parsing argument: String) throws(ValueError) {
        name = argument
        if let sign = argument.lastIndex(of: "=") {
            let rest = argument[argument.index(after: sign)...]
            // A mistyped size as a part of the name would make a disk of another size under a strange name.
            if rest.isEmpty || rest.contains(where: \.isASCIIDigit) {
                name = String(argument[..<sign])
                size = try ByteCount(parsing: String(rest))
            }
        }
        guard !name.isEmpty, name.utf8.count <= Limits.stringLength, !name.utf8.contains(0) else {
            throw ValueError(
                "A name has 1 to \(Limits.stringLength) bytes; a size may follow it, as in db=1G.")
        }
    }
}

extension ServerUser {
    /// Parses a name or a uid. A user without an entry gets a group of the same number.
    package init(parsing text: String) throws(ValueError) {
        let user = try Account.user(parsing: text)
        guard user.uid != 0 else {
            throw ValueError("--user \(text) is root: give a user with fewer rights.")
        }
        self.init(uid: user.uid, gid: user.gid ?? user.uid)
    }
}
