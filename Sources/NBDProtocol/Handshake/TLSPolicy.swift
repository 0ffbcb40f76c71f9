/// What a server wants of TLS.
public enum TLSPolicy: String, Sendable, Hashable, CaseIterable {
    /// There is none. The specification's NOTLS.
    case off
    /// Who asks for it gets it. The specification's SELECTIVETLS, with no export that needs it.
    case on
    /// Nothing but it. The specification's FORCEDTLS.
    case required
}
