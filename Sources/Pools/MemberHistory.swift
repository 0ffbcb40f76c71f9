/// What md has last written to a member about all members of its array. `mdadm --examine`
struct MemberHistory: Equatable {
    /// The number of changes of the array's state: the member with the largest one has the newest data.
    let events: UInt64
    /// The member's place in the array; nil for a spare.
    let place: Int?
    /// The places that had no working member.
    let missing: Set<Int>
    /// The time of the last change, in seconds since 1970; nil when it is unknown.
    var updateTime: UInt64?

    /// Parses the output of `mdadm --examine`; nil when it describes no member.
    init?(_ text: String) {
        var values: [Substring: Substring] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            values[parts[0].trimmingSpaces] = parts[1].trimmingSpaces
        }
        guard let events = values["Events"].flatMap({ UInt64($0) }),
            let role = values["Device Role"], let states = values["Array State"]
        else { return nil }
        self.events = events
        // "Active device 1", "spare"
        place = role.split(separator: " ").last.flatMap { Int($0) }
        // "A.A", with an explanation of the letters
        missing = Set(
            states.prefix { $0 != " " }.enumerated().filter { $0.element == "." }.map(\.offset))
    }

    /// Whether the array was used without another member after this one was part of it, as far as this one knows.
    func lacks(_ other: MemberHistory) -> Bool { other.place.map(missing.contains) ?? false }
}

/// The members of an array that have its newest data, and what they say of the other ones.
struct NewestMembers {
    /// Empty when no member is newer than all others: each was used without another one.
    let histories: [MemberHistory]

    /// - Parameter all: the histories of all members that are known.
    init(of all: [MemberHistory]) {
        // A spare has no data, whatever its count of changes.
        let active = all.filter { $0.place != nil }
        let most = active.map(\.events).max()
        let largest = active.filter { $0.events == most }
        // The kernel may decrease the count just before it drops a member, so the counts become equal again.
        // drivers/md/md.c, md_update_sb
        histories = largest.filter { member in !largest.contains { $0.lacks(member) } }
    }

    /// Whether the array was used without a member after that one was part of it. Its count of changes does not show
    /// this when it is smaller by only one: mdadm and the kernel take such a member for one in sync.
    func lack(_ member: MemberHistory) -> Bool { histories.contains { $0.lacks(member) } }

    /// Whether a member may hold data that none of these members has. If one of them was active in the member's own
    /// last view, that one has all data of the member. The member's own place in the array may have another disk now.
    func mayMissData(of member: MemberHistory) -> Bool {
        guard member.place != nil, !histories.contains(member) else { return false }
        return histories.allSatisfy { member.lacks($0) || $0.place == member.place }
            || histories.allSatisfy { $0.events < member.events }
            || histories.allSatisfy { ($0.updateTime ?? .max) < member.updateTime ?? 0 }
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        let start = drop { $0 == " " }
        guard let last = start.lastIndex(where: { $0 != " " }) else { return "" }
        return start[...last]
    }
}
