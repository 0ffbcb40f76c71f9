/// The suite: every rule that can be tried on a server from outside.
public enum ConformanceSuite {
    /// All cases, in the order of the specification.
    public static let cases: [ConformanceCase] =
        handshake + Mode.allCases.flatMap(transmission) + structured + extended + split

    /// Rules of the handshake.
    static var handshake: [ConformanceCase] {
        greetingCases + exportNameCases + optionCases + listCases + tlsCases + infoCases
            + infoErrorCases + blockSizeCases + goCases + structuredReplyCases + listContextCases
            + setContextCases
    }

    /// Rules of the transmission phase, for each kind of messages.
    static func transmission(_ mode: Mode) -> [ConformanceCase] {
        replyCases(mode) + readCases(mode) + writeCases(mode) + readOnlyCases(mode)
            + trimCases(mode) + writeZeroesCases(mode) + fastZeroCases(mode) + flagCases(mode)
            + flushCases(mode) + cacheCases(mode) + disconnectCases(mode) + blockStatusCases(mode)
            + extentCases(mode)
    }

    /// Rules of structured replies, which hold for extended ones as well.
    static var structured: [ConformanceCase] {
        structuredCases + [.structured, .extended].flatMap(chunkCases)
            + [.structured, .extended].flatMap(fragmentCases)
    }

    /// Rules of extended headers.
    static var extended: [ConformanceCase] {
        extendedOptionCases + extendedCases + payloadCases + statusPayloadCases
    }

    /// Every message in pieces.
    static var split: [ConformanceCase] {
        splitOptionCases + Mode.allCases.flatMap(splitRequestCases)
    }
}

// MARK: - Ways to begin

/// A case about options: the client flags have been sent.
func negotiating(
    _ name: String, _ level: Level, _ section: String, _ rule: String, needs: [Need] = [],
    body: @escaping @Sendable (Dialogue) throws -> Void
) -> ConformanceCase {
    ConformanceCase(name, level, section, rule, needs: needs) { try body($0.haggle()) }
}

/// A case about options that need structured replies first.
func negotiating(
    structured name: String, _ level: Level, _ section: String, _ rule: String,
    needs: [Need] = [.structuredReplies, .allocationContext],
    body: @escaping @Sendable (Dialogue) throws -> Void
) -> ConformanceCase {
    ConformanceCase(name, level, section, rule, needs: needs) { peer in
        let dialogue = try peer.haggle()
        try dialogue.negotiate(.structured)
        try body(dialogue)
    }
}

/// A case about requests. It is over when the connection is seen to be in step: a server that read
/// too much or too little, or closed, is found out here if not before.
func transmitting(
    _ mode: Mode, _ name: String, _ level: Level, _ section: String, _ rule: String,
    needs: [Need] = [], contexts: [String] = [],
    body: @escaping @Sendable (Dialogue) throws -> Void
) -> ConformanceCase {
    ConformanceCase(
        "\(mode.rawValue)-\(name)", level, section, rule, needs: mode.needs + needs
    ) { peer in
        let dialogue = try peer.transmit(mode, contexts: contexts)
        try body(dialogue)
        try dialogue.expectAlive()
    }
}
