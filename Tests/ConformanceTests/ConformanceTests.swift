import Conformance
import Harness
import Testing

/// Runs a case. A need that is not met is a failure, unless the configuration lacks it.
func check(_ candidate: ConformanceCase, _ peer: Peer, lacks: Set<Need>) {
    switch candidate.run(on: peer) {
    case .passed: break
    case .notOffered(let need):
        if !lacks.contains(need) {
            Issue.record("\(need) is not offered, which \(candidate.name) needs")
        }
    case .failed(let what):
        Issue.record("\(candidate.section): \(candidate.rule). But \(what).")
    }
}

/// The needs that this server never meets.
private let neverMet: Set<Need> = [.zeroesAlways, .noFlag(.fastZero)]

/// The needs that a writable disk does not meet.
private let writable: Set<Need> = neverMet.union([.readOnly, .requiredTLS])

/// All cases except those that split messages, which are slow and do not depend on the disk.
private let unsplit = ConformanceSuite.cases.filter { !$0.name.contains("split-") }

@Suite("Conformance: a writable disk", .serialized, .peer("--size", "64M"))
struct WritableTests {
    @Test("whole messages", arguments: ConformanceSuite.cases)
    func whole(_ candidate: ConformanceCase) throws {
        check(
            candidate, try PeerTrait.peer(),
            lacks: writable.union([.secondExport, .size(5 << 30)]))
    }

    @Test("messages one byte at a time", arguments: unsplit)
    func bytewise(_ candidate: ConformanceCase) throws {
        check(
            candidate, try PeerTrait.peer(cut: .bytes),
            lacks: writable.union([.secondExport, .size(5 << 30)]))
    }
}

@Suite(
    "Conformance: a sparse disk of a terabyte, and a second disk", .serialized,
    .peer("--sparse", "--export", "big=1T", "--export", "small=1M"))
struct SparseTests {
    @Test("the first export, by the empty name", arguments: unsplit)
    func first(_ candidate: ConformanceCase) throws {
        check(candidate, try PeerTrait.peer(), lacks: writable)
    }
}

@Suite("Conformance: a read-only disk", .serialized, .peer("--size", "64M", "--read-only"))
struct ReadOnlyTests {
    @Test("whole messages", arguments: unsplit)
    func whole(_ candidate: ConformanceCase) throws {
        check(
            candidate, try PeerTrait.peer(),
            lacks: neverMet.union([
                .writable, .secondExport, .requiredTLS, .size(5 << 30), .flag(.trim),
                .flag(.writeZeroes), .flag(.fastZero),
            ]))
    }
}

@Suite("Conformance: a disk for which TLS is required", .serialized, .peerWithTLS)
struct RequiredTLSTests {
    /// The cases that need no TLS.
    static let cases = ConformanceSuite.cases.filter { $0.needs.contains(.requiredTLS) }

    @Test("whole messages", arguments: cases)
    func whole(_ candidate: ConformanceCase) throws {
        check(candidate, try PeerTrait.peer(), lacks: [])
    }

    @Test("messages one byte at a time", arguments: cases)
    func bytewise(_ candidate: ConformanceCase) throws {
        check(candidate, try PeerTrait.peer(cut: .bytes), lacks: [])
    }

    @Test("all cases that need no TLS are run")
    func count() {
        #expect(Self.cases.count >= 8)
    }
}

@Suite("Conformance: the suite itself")
struct SuiteTests {
    @Test("every case has a unique name, a rule and a section")
    func names() {
        let cases = ConformanceSuite.cases
        let names = cases.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(cases.allSatisfy { !$0.rule.isEmpty && !$0.section.isEmpty })
        #expect(cases.count >= 150)
    }
}
