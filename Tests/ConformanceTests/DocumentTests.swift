// docs/PROTOCOL.md points from its rows to cases: what it points to has to be there.

import Conformance
import Foundation
import Testing

@Suite("docs/reference/protocol.md and the cases")
struct DocumentTests {
    /// Patterns of names behind "cases:" in the rows: `opt-list`, `opt-abort*`, `*-read-beyond-end`.
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

    @Test("every case that a row names is there")
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

    /// Whether a name is what a pattern describes; an asterisk stands for anything.
    private func matches(_ name: String, _ pattern: String) -> Bool {
        // Sound: both strings live as long as the call.
        unsafe fnmatch(pattern, name, 0) == 0
    }
}
