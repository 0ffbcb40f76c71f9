/// How strongly the specification says it (RFC 2119).
public enum Level: String, Sendable, CaseIterable {
    /// Every server has to.
    case must
    /// A server may differ, when it has a reason.
    case should
}

/// A rule of the specification and the conversation that tries it.
public struct ConformanceCase: Sendable, CustomStringConvertible {
    /// Its name, unique and the same for ever: what docs/PROTOCOL.md points to.
    public let name: String
    /// How strongly the rule is meant.
    public let level: Level
    /// The heading in the specification under which the rule is.
    public let section: String
    /// The rule, in few words.
    public let rule: String
    /// What a server has to offer, or to be, for the rule to apply to it.
    public let needs: [Need]

    /// Its name, so that a test that fails is named.
    public var description: String { name }

    private let body: @Sendable (Peer) throws -> Void

    init(
        _ name: String, _ level: Level, _ section: String, _ rule: String, needs: [Need] = [],
        body: @escaping @Sendable (Peer) throws -> Void
    ) {
        self.name = name
        self.level = level
        self.section = section
        self.rule = rule
        self.needs = needs
        self.body = body
    }

    /// Tries it on a server.
    public func run(on peer: Peer) -> Outcome {
        for need in needs + [.plaintext] where !need.isMet(by: peer.offer, needs: needs) {
            return .notOffered(need)
        }
        do {
            try body(peer)
            return .passed
        } catch {
            return .failed("\(error)")
        }
    }
}

/// What came of a case.
public enum Outcome: Sendable, Hashable {
    /// The server does as the rule says.
    case passed
    /// The rule does not apply: the server lacks this.
    case notOffered(Need)
    /// The server does otherwise; one sentence that tells what.
    case failed(String)

    /// In a word.
    public var name: String {
        switch self {
        case .passed: "passed"
        case .notOffered: "not offered"
        case .failed: "failed"
        }
    }
}

/// What a server did against a rule, in words.
struct Deviation: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Says what is wrong when a condition does not hold.
func expect(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws(Deviation) {
    guard condition else { throw Deviation(otherwise()) }
}
