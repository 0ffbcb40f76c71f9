/// The suite: every rule that can be tested on a server from outside.
public enum ConformanceSuite {
    /// All cases, in the order of the specification.
    public static let cases: [ConformanceCase] =
        handshake + Mode.allCases.flatMap(transmission) + structured + extended + split

    /// Rules of the handshake.
    static var handshake: [ConformanceCase] {
        greetingCases + exportNameCases + optionCases + listCases + tlsCases + infoCases
            + infoErrorCases + blockSizeCases + goCases + structuredReplyCases + listContextCases
            + setContextCases + severalContextsCases
    }

    /// Rules of the transmission phase, for each message format.
    static func transmission(_ mode: Mode) -> [ConformanceCase] {
        replyCases(mode) + readCases(mode) + writeCases(mode) + readOnlyCases(mode)
            + trimCases(mode) + writeZeroesCases(mode) + fastZeroCases(mode) + flagCases(mode)
            + flushCases(mode) + cacheCases(mode) + disconnectCases(mode) + blockStatusCases(mode)
            + severalStatusCases(mode) + extentCases(mode)
    }

    /// Rules of structured replies, which also apply to extended ones.
    static var structured: [ConformanceCase] {
        structuredCases + [.structured, .extended].flatMap(chunkCases)
            + [.structured, .extended].flatMap(fragmentCases)
    }

    /// Rules of extended headers.
    static var extended: [ConformanceCase] {
        extendedOptionCases + extendedCases + payloadCases + statusPayloadCases
            + severalPayloadCases
    }

    /// Every message in parts.
    static var split: [ConformanceCase] {
        splitOptionCases + Mode.allCases.flatMap(splitRequestCases)
    }
}

// MARK: - Kinds of cases

/// Returns a case about options, which begins after the client flags.
func negotiating(
    _ name: String, _ level: Level, _ section: String, _ rule: String, needs: [Need] = [],
    body: @escaping @Sendable (Dialogue) throws -> Void
) -> ConformanceCase {
    ConformanceCase(name, level, section, rule, needs: needs) { try body($0.beginOptions()) }
}

/// Returns a case about options, which begins after structured replies were negotiated.
func negotiating(
    structured name: String, _ level: Level, _ section: String, _ rule: String,
    needs: [Need] = [.structuredReplies, .allocationContext],
    body: @escaping @Sendable (Dialogue) throws -> Void
) -> ConformanceCase {
    ConformanceCase(name, level, section, rule, needs: needs) { peer in
        let dialogue = try peer.beginOptions()
        try dialogue.negotiate(.structured)
        try body(dialogue)
    }
}

/// Returns a case about requests. At its end it checks that the connection is still synchronized, which finds a
/// server that read too much or too little, or closed the connection.
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
