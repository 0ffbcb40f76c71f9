internal import ProgramSupport

/// The members of an array, and which of them are one disk under two names: the superblock that md has written to a
/// member has a UUID of its own, which both names show.
struct DistinctMembers {
    /// The names of the members, by the UUID in the superblock.
    private var names: [String: String] = [:]

    /// Adds a member.
    ///
    /// - Throws: when it is the same disk as one that was added before.
    mutating func insert(_ name: String, _ contents: DeviceContents) throws(Failure) {
        guard case .member(let superblock) = contents, let member = superblock.member,
            let other = names.updateValue(name, forKey: member)
        else { return }
        throw .unavailable(
            "\(other) and \(name) are the same disk: each member needs a disk of its own")
    }
}
