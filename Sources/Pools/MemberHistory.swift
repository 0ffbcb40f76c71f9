/// What md has last written to a member about all members of its array. `mdadm --examine`
struct MemberHistory: Equatable {
    /// The number of changes of the array's state: the member with the largest one has the newest data.
    let events: UInt64
    /// The member's place in the array; nil for a spare.
    let place: Int?
    /// The places that had no working member.
    let missing: Set<Int>

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

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        let start = drop { $0 == " " }
        guard let last = start.lastIndex(where: { $0 != " " }) else { return "" }
        return start[...last]
    }
}
