package import ProgramSupport

/// All findings about a machine.
package struct MachineReport: Sendable, Encodable {
    /// Whether `serve`, `up` and `attach` can work.
    package let isReady: Bool
    package let findings: [Finding]

    private enum CodingKeys: String, CodingKey {
        case isReady = "ready"
        case findings
    }

    /// Checks a machine.
    package init(of machine: Machine) {
        findings = machine.findings
        isReady = findings.allSatisfy { $0.state != .missing }
    }

    /// The report as lines for a terminal: a line for each finding, and below it the command that provides what is
    /// missing.
    package var lines: [StyledLine] {
        var lines: [StyledLine] = []
        for finding in findings {
            var line = StyledLine(finding.state.rawValue, finding.state.style)
            line.pad(to: Self.nameColumn)
            line.add(finding.name, .bold)
            line.pad(to: Self.textColumn)
            line.add(finding.text)
            lines.append(line)
            guard let remedy = finding.remedy else { continue }
            var more = StyledLine()
            // There, every command fits on the line.
            more.pad(to: Self.nameColumn)
            more.add("# ", .dim)
            more.add(remedy)
            lines.append(more)
        }
        lines.append(StyledLine())
        lines.append(
            isReady
                ? StyledLine("serve, up and attach can work on this machine.")
                : StyledLine("serve can work on this machine; up and attach need what is missing."))
        return lines
    }

    /// The columns at which the name and the text of a finding begin.
    private static let nameColumn = 10
    private static let textColumn = 25
}

extension Finding.State {
    fileprivate var style: TextStyle {
        switch self {
        case .ok: .green
        case .optional: .yellow
        case .missing: .red
        }
    }
}
