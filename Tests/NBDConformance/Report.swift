internal import Conformance
internal import FoundationEssentials

/// Prints results as they arrive.
struct Report {
    let isVerbose: Bool
    let isJSON: Bool
    private var counts: [String: Int] = [:]
    /// Whether the server has violated a MUST.
    private(set) var hasViolatedMust = false
    private var lines: [String] = []

    init(isVerbose: Bool, isJSON: Bool) {
        self.isVerbose = isVerbose
        self.isJSON = isJSON
    }

    mutating func add(_ candidate: ConformanceCase, _ outcome: Outcome) {
        counts[outcome.name, default: 0] += 1
        if case .failed = outcome, candidate.level == .must { hasViolatedMust = true }
        if isJSON {
            lines.append(Self.object(candidate, outcome))
        } else if let text = text(candidate, outcome) {
            print(text)
        }
    }

    func finish() {
        if isJSON { return print("[\n" + lines.joined(separator: ",\n") + "\n]") }
        let passed = counts["passed", default: 0]
        let failed = counts["failed", default: 0]
        let absent = counts["not offered", default: 0]
        print("\(passed) passed, \(failed) failed, \(absent) not offered")
    }

    private func text(_ candidate: ConformanceCase, _ outcome: Outcome) -> String? {
        switch outcome {
        case .failed(let what):
            "FAILED  \(candidate.name) (\(candidate.level.rawValue.uppercased()))\n"
                + "        \(candidate.section): \(candidate.rule)\n        \(what)"
        case .passed where isVerbose: "passed  \(candidate.name)"
        case .notOffered(let need) where isVerbose: "absent  \(candidate.name): \(need)"
        case .passed, .notOffered: nil
        }
    }

    /// Returns the list of cases, without results.
    static func listing(of cases: [ConformanceCase], asJSON: Bool) -> String {
        guard asJSON else {
            return cases.map { "\($0.name)\t\($0.level.rawValue)\t\($0.section): \($0.rule)" }
                .joined(separator: "\n")
        }
        return "[\n" + cases.map { object($0, nil) }.joined(separator: ",\n") + "\n]"
    }

    private static func object(_ candidate: ConformanceCase, _ outcome: Outcome?) -> String {
        var members = [
            "case": candidate.name, "level": candidate.level.rawValue,
            "section": candidate.section, "rule": candidate.rule,
        ]
        if let outcome { members["outcome"] = outcome.name }
        switch outcome {
        case .failed(let what): members["detail"] = what
        case .notOffered(let need): members["detail"] = "\(need)"
        case .passed, nil: break
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // A dictionary of strings can always be encoded.
        guard let data = try? encoder.encode(members) else { return "  {}" }
        return "  " + String(decoding: data, as: UTF8.self)
    }
}
