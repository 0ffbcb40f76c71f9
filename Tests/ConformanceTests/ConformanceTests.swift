import Conformance
import Harness
import Testing

/// Runs one case, and takes no excuse that is not the configuration's own.
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

/// What no server of ours has, whatever the configuration.
private let neverThere: Set<Need> = [.zeroesAlways, .noFlag(.fastZero)]

/// What a server has that can be written.
private let writable: Set<Need> = neverThere.union([.readOnly, .requiredTLS])

/// Cases that cut messages themselves are slow, and are the same for every disk.
private let uncut = ConformanceSuite.cases.filter { !$0.name.contains("split-") }

@Suite("Conformance: a disk that can be written", .serialized, .peer("--size", "64M"))
struct WritableTests {
    @Test("whole messages", arguments: ConformanceSuite.cases)
    func whole(_ candidate: ConformanceCase) throws {
        check(
            candidate, try PeerTrait.peer(),
            lacks: writable.union([.secondExport, .size(5 << 30)]))
    }

    @Test("messages one byte at a time", arguments: uncut)
    func bytewise(_ candidate: ConformanceCase) throws {
        check(
            candidate, try PeerTrait.peer(cut: .bytes),
            lacks: writable.union([.secondExport, .size(5 << 30)]))
    }
}

@Suite(
    "Conformance: a sparse disk of a terabyte, and another one", .serialized,
    .peer("--sparse", "--export", "big=1T", "--export", "small=1M"))
struct SparseTests {
    @Test("the first export, by the default name", arguments: uncut)
    func first(_ candidate: ConformanceCase) throws {
        check(candidate, try PeerTrait.peer(), lacks: writable)
    }
}

@Suite("Conformance: a read-only disk", .serialized, .peer("--size", "64M", "--read-only"))
struct ReadOnlyTests {
    @Test("whole messages", arguments: uncut)
    func whole(_ candidate: ConformanceCase) throws {
        check(
            candidate, try PeerTrait.peer(),
            lacks: neverThere.union([
                .writable, .secondExport, .requiredTLS, .size(5 << 30), .flag(.trim),
                .flag(.writeZeroes), .flag(.fastZero),
            ]))
    }
}

@Suite("Conformance: a disk for which TLS is required", .serialized, .peerWithTLS)
struct RequiredTLSTests {
    /// What can be seen of it without TLS.
    static let cases = ConformanceSuite.cases.filter { $0.needs.contains(.requiredTLS) }

    @Test("whole messages", arguments: cases)
    func whole(_ candidate: ConformanceCase) throws {
        check(candidate, try PeerTrait.peer(), lacks: [])
    }

    @Test("messages one byte at a time", arguments: cases)
    func bytewise(_ candidate: ConformanceCase) throws {
        check(candidate, try PeerTrait.peer(cut: .bytes), lacks: [])
    }

    @Test("nothing else is tried, and nothing is left out")
    func count() {
        #expect(Self.cases.count >= 8)
    }
}

@Suite("Conformance: the suite itself")
struct SuiteTests {
    @Test("every case has a name of its own, a rule and a section")
    func names() {
        let cases = ConformanceSuite.cases
        let names = cases.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(cases.allSatisfy { !$0.rule.isEmpty && !$0.section.isEmpty })
        #expect(cases.count >= 150)
    }
}
