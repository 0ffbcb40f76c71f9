package import LinuxHost
package import LinuxIO

extension IPNetwork {
    /// Parses a network. Throws a sentence that says what is wrong.
    package init(parsing text: String) throws(ValueError) {
        do throws(ParseError) {
            try self.init(text)
        } catch {
            switch error {
            case .address: throw ValueError("'\(text)' is not a numeric IP address or network.")
            case .prefix:
                throw ValueError(
                    "'\(text)' is not a network: the prefix length after the slash is at most 32 for "
                        + "IPv4 and 128 for IPv6.")
            case .bitsBeyondPrefix(let network, let address):
                throw ValueError(
                    "'\(text)' has bits beyond its prefix: give \(network) or \(address).")
            }
        }
    }
}

extension Account {
    /// Returns the user of a name or uid. Throws a sentence when there is none.
    package static func user(parsing text: String) throws(ValueError) -> User {
        guard let user = user(text) else { throw ValueError("There is no user '\(text)'.") }
        return user
    }

    /// Returns the uid of a name or uid. Throws a sentence when there is none.
    package static func uid(parsing text: String) throws(ValueError) -> UInt32 {
        try user(parsing: text).uid
    }

    /// Returns the gid of a name or gid. Throws a sentence when there is none.
    package static func gid(parsing text: String) throws(ValueError) -> UInt32 {
        guard let gid = gid(text) else { throw ValueError("There is no group '\(text)'.") }
        return gid
    }
}

extension Listener.FileAccess {
    /// Parses `user`, `user:group` or `:group`. Throws a sentence that says what is wrong.
    package init(owner text: String) throws(ValueError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            .map(String.init)
        guard parts.contains(where: { !$0.isEmpty }) else {
            throw ValueError("'\(text)' names neither a user nor a group.")
        }
        self.init()
        if !parts[0].isEmpty { uid = try Account.uid(parsing: parts[0]) }
        if parts.count == 2 { gid = try Account.gid(parsing: parts[1]) }
    }

    /// Parses permissions in octal. Throws a sentence that says what is wrong.
    package static func mode(parsing text: String) throws(ValueError) -> UInt32 {
        guard let mode = UInt32(text, radix: 8), mode <= 0o777, !text.hasPrefix("+") else {
            throw ValueError("'\(text)' is not a file mode: give three octal digits, such as 660.")
        }
        return mode
    }
}
