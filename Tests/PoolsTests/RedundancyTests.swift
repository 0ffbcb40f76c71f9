import Testing

@testable import Pools

@Suite("What an array survives")
struct RedundancyTests {
    private static let twoNearCopies = 0x102

    @Test("a mirror survives the loss of all members but one")
    func mirror() {
        let whole = Redundancy(level: "raid1", slotCount: 3, layout: nil, working: [0, 1, 2])
        #expect(whole.tolerated == 2)
        #expect(whole.critical.isEmpty)
        #expect(whole.sentence { "m\($0)" } == "survives the loss of any 2 of 3 members")
        let last = Redundancy(level: "raid1", slotCount: 3, layout: nil, working: [1])
        #expect(last.tolerated == 0)
        #expect(last.critical == [1])
        #expect(last.isComplete)
        let none = Redundancy(level: "raid1", slotCount: 3, layout: nil, working: [])
        #expect(!none.isComplete)
        #expect(none.sentence { "m\($0)" }.hasPrefix("has lost data"))
    }

    @Test("a stripe survives nothing")
    func stripe() {
        let whole = Redundancy(level: "raid0", slotCount: 2, layout: nil, working: [0, 1])
        #expect(whole.tolerated == 0)
        #expect(whole.critical == [0, 1])
        #expect(whole.sentence { "m\($0)" } == "does not survive the loss of a member")
        #expect(!Redundancy(level: "raid0", slotCount: 2, layout: nil, working: [0]).isComplete)
    }

    @Test("of four members of level 10, each pair can lose one")
    func pairs() {
        func array(_ working: Set<Int>) -> Redundancy {
            Redundancy(
                level: "raid10", slotCount: 4, layout: Self.twoNearCopies, working: working)
        }
        #expect(array([0, 1, 2, 3]).tolerated == 1)
        #expect(array([0, 2, 3]).critical == [0])
        #expect(
            array([0, 2, 3]).sentence { "m\($0)" } == "does not survive the loss of m0")
        #expect(array([1, 2]).critical == [1, 2])
        #expect(array([1, 2]).isComplete)
        #expect(!array([2, 3]).isComplete)
    }

    /// Tries every set of losses on the blocks themselves: block c has its copies in columns 2c and 2c + 1 of the rows.
    @Test(
        "the number of losses is that of the worst case, for every set of members", arguments: 2...7
    )
    func exhaustive(count: Int) {
        func isReadable(_ working: Set<Int>) -> Bool {
            (0..<count).allSatisfy { block in
                working.contains(2 * block % count) || working.contains((2 * block + 1) % count)
            }
        }
        let sets = (0..<1 << count).map { bits in
            Set((0..<count).filter { bits >> $0 & 1 == 1 })
        }
        for working in sets {
            let array = Redundancy(
                level: "raid10", slotCount: count, layout: Self.twoNearCopies, working: working)
            #expect(array.isComplete == isReadable(working))
            let survives = sets.filter { $0.isSubset(of: working) && !isReadable($0) }.map {
                working.count - $0.count
            }
            guard array.isComplete, let fewest = survives.min() else { continue }
            #expect(array.tolerated == fewest - 1, "\(working)")
        }
    }

    @Test("a layout that is not known promises nothing")
    func unknown() {
        let far = Redundancy(level: "raid10", slotCount: 4, layout: 0x201, working: [0, 1, 2, 3])
        #expect(far.tolerated == 0)
    }
}
