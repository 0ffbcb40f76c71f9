/// The number of members that an array can lose without losing data.
struct Redundancy: Equatable {
    /// The number of members of the complete array.
    let slotCount: Int
    /// The slots of the array whose member has all of its data.
    let working: Set<Int>
    /// Sets of slots that hold the same data.
    private let groups: Set<Set<Int>>

    /// The layout of level 10 with two near copies of each block. md(4); `2` and one far copy, as the kernel encodes it
    private static let twoNearCopies = 0x102

    /// - Parameters:
    ///   - level: the name of the level, as sysfs has it. An unknown level counts as one without redundancy.
    ///   - layout: the layout of level 10, as sysfs has it.
    init(level: String, slotCount: Int, layout: Int?, working: Set<Int>) {
        self.slotCount = slotCount
        self.working = working
        let slots = 0..<max(0, slotCount)
        switch level {
        case "raid1": groups = [Set(slots)]
        case "raid10" where layout == Self.twoNearCopies:
            // The layout places the copies of a block side by side: 0 0 1 1 2 2 and so on. With an odd number of slots
            // a pair may wrap around to the next row.
            groups = Set(
                slots.map { [(2 * $0) % slotCount, (2 * $0 + 1) % slotCount] as Set<Int> })
        default: groups = Set(slots.map { [$0] as Set<Int> })
        }
    }

    /// Whether every block is on a working member.
    var isComplete: Bool { groups.allSatisfy { !$0.isDisjoint(with: working) } }

    /// The number of members that can be lost in any combination.
    var tolerated: Int {
        max(0, (groups.map { $0.intersection(working).count }.min() ?? 0) - 1)
    }

    /// The slots whose loss would lose data.
    var critical: Set<Int> {
        groups.map { $0.intersection(working) }.filter { $0.count == 1 }.reduce(into: []) {
            $0.formUnion($1)
        }
    }

    /// Returns a sentence, without a full stop, that says what the array survives.
    ///
    /// - Parameter name: returns the name of the member in a slot.
    func sentence(_ name: (Int) -> String) -> String {
        if !isComplete { return "has lost data: a part of it is on no working member" }
        if tolerated > 0 {
            return "survives the loss of any \(tolerated) of \(working.count) members"
        }
        if critical == working { return "does not survive the loss of a member" }
        let names = critical.sorted().map(name).joined(separator: " or ")
        return "does not survive the loss of \(names)"
    }
}
