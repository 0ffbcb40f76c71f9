/// How binding a rule of the specification is (RFC 2119).
public enum Level: String, Sendable, CaseIterable {
    /// Every server must follow the rule.
    case must
    /// A server may deviate if it has a reason.
    case should
}

/// A rule of the specification, and the conversation that tests it.
public struct ConformanceCase: Sendable, CustomStringConvertible {
    /// A unique name, which never changes: PROTOCOL.md refers to it.
    public let name: String
    /// How binding the rule is.
    public let level: Level
    /// The section of the specification that contains the rule.
    public let section: String
    /// A summary of the rule.
    public let rule: String
    /// What a server must offer, or be, for the rule to apply.
    public let needs: [Need]

    /// The name of the case, which identifies a failed test.
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

    /// Runs the case on a server.
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

/// The result of a case.
public enum Outcome: Sendable, Hashable {
    /// The server follows the rule.
    case passed
    /// The rule does not apply: the server does not meet this need.
    case notOffered(Need)
    /// The server violates the rule; one sentence that says how.
    case failed(String)

    /// The result in a word or two.
    public var name: String {
        switch self {
        case .passed: "passed"
        case .notOffered: "not offered"
        case .failed: "failed"
        }
    }
}

/// How a server violates a rule.
struct Deviation: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Throws a deviation if a condition is false.
func expect(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws(Deviation) {
    guard condition else { throw Deviation(otherwise()) }
}
