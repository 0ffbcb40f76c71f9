import Conformance
import Foundation
import Testing

@Suite("docs/reference/protocol.md and the cases")
struct DocumentTests {
    /// The patterns of case names after "cases:" in the rows: `opt-list`, `opt-abort*`, `*-read-beyond-end`.
    private static let patterns: [String] = {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let path = "/\(root)/docs/reference/protocol.md"
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").flatMap { line -> [String] in
            guard let start = line.range(of: "cases: ") else { return [] }
            return line[start.upperBound...].split(separator: "`").enumerated()
                .filter { $0.offset.isMultiple(of: 2) }.map { String($0.element) }
                .filter { !$0.contains(" ") }
        }
    }()

    @Test("every case that a row names exists")
    func rows() {
        let names = ConformanceSuite.cases.map(\.name)
        #expect(!Self.patterns.isEmpty)
        for pattern in Self.patterns {
            #expect(names.contains { matches($0, pattern) }, "there is no case \(pattern)")
        }
    }

    @Test("every case belongs to a row", arguments: ConformanceSuite.cases)
    func cases(_ candidate: ConformanceCase) {
        #expect(Self.patterns.contains { matches(candidate.name, $0) })
    }

    /// Returns whether a name matches a pattern; an asterisk matches any text.
    private func matches(_ name: String, _ pattern: String) -> Bool {
        // Sound: both strings live until the call returns.
        unsafe fnmatch(pattern, name, 0) == 0
    }
}
