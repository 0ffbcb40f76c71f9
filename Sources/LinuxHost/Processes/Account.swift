internal import LinuxIO
internal import Glibc

/// Looks names up.
package enum Account {
    /// A user's number, and that of the group it logs in with, where it has an entry.
    package struct User: Sendable, Hashable {
        /// The user's number.
        package let uid: UInt32
        /// Its group's number; nil for a number that has no entry.
        package let gid: UInt32?
    }

    /// The user of a name, or of a number that need not have an entry; nil when there is none.
    /// getpwnam_r(3)
    package static func user(_ text: String) -> User? {
        if let uid = identifier(text) { return User(uid: uid, gid: loginGroup(of: uid)) }
        var record = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: bufferSize)
        // Sound: the record's texts are in the buffer, and only its numbers are looked at.
        _ = unsafe getpwnam_r(text, &record, &buffer, buffer.count, &found)
        return unsafe found == nil ? nil : User(uid: record.pw_uid, gid: record.pw_gid)
    }

    /// The group of a name, or of a number that need not have an entry; nil when there is none.
    /// getgrnam_r(3)
    package static func gid(_ text: String) -> UInt32? {
        if let gid = identifier(text) { return gid }
        var record = unsafe Glibc.group()
        var found: UnsafeMutablePointer<Glibc.group>?
        var buffer = [CChar](repeating: 0, count: bufferSize)
        // Sound: as above.
        _ = unsafe getgrnam_r(text, &record, &buffer, buffer.count, &found)
        return unsafe found == nil ? nil : record.gr_gid
    }

    /// Room for an entry's texts: a group can list thousands of members.
    private static var bufferSize: Int { 1 << 20 }

    private static func identifier(_ text: String) -> UInt32? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            // The last one means "nobody in particular" to the kernel.
            let identifier = UInt32(text), identifier != .max
        else { return nil }
        return identifier
    }

    /// The group that a user logs in with. getpwuid_r(3)
    private static func loginGroup(of uid: UInt32) -> UInt32? {
        var record = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: bufferSize)
        // Sound: as above.
        _ = unsafe getpwuid_r(uid, &record, &buffer, buffer.count, &found)
        return unsafe found == nil ? nil : record.pw_gid
    }
}
