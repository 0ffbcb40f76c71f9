internal import CLinux
internal import Glibc

/// The users and groups of the system.
package enum Account {
    /// A user.
    package struct User: Sendable, Hashable {
        /// The user id.
        package let uid: UInt32
        /// The login group; nil when the user has no entry.
        package let gid: UInt32?
    }

    /// Returns the user of a name, or of an id, which need not have an entry; nil when there is none.
    /// getpwnam_r(3)
    package static func user(_ text: String) -> User? {
        if let uid = identifier(text) { return User(uid: uid, gid: loginGroup(of: uid)) }
        var record = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: bufferSize)
        // Sound: the record points into the buffer, but only its integers are read.
        _ = unsafe getpwnam_r(text, &record, &buffer, buffer.count, &found)
        return unsafe found == nil ? nil : User(uid: record.pw_uid, gid: record.pw_gid)
    }

    /// Returns the group of a name, or of an id, which need not have an entry; nil when there is none.
    /// getgrnam_r(3)
    package static func gid(_ text: String) -> UInt32? {
        if let gid = identifier(text) { return gid }
        var record = unsafe Glibc.group()
        var found: UnsafeMutablePointer<Glibc.group>?
        var buffer = [CChar](repeating: 0, count: bufferSize)
        // Sound: as in user(_:).
        _ = unsafe getgrnam_r(text, &record, &buffer, buffer.count, &found)
        return unsafe found == nil ? nil : record.gr_gid
    }

    /// Room for an entry's texts in bytes: a group can list thousands of members.
    private static var bufferSize: Int { 1 << 20 }

    private static func identifier(_ text: String) -> UInt32? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            // For the kernel, the greatest value means that an id stays as it is.
            let identifier = UInt32(text), identifier != .max
        else { return nil }
        return identifier
    }

    /// Returns the login group of a user. getpwuid_r(3)
    private static func loginGroup(of uid: UInt32) -> UInt32? {
        var record = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: bufferSize)
        // Sound: as in user(_:).
        _ = unsafe getpwuid_r(uid, &record, &buffer, buffer.count, &found)
        return unsafe found == nil ? nil : record.pw_gid
    }
}
