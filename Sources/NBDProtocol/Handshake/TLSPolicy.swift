/// Whether a server uses TLS (NBD specification, TLS support).
public enum TLSPolicy: String, Sendable, Hashable, CaseIterable {
    /// The server does not support TLS. The specification's NOTLS.
    case off
    /// The client decides. The specification's SELECTIVETLS, with no export that requires TLS.
    case on
    /// The server accepts no other option before STARTTLS. The specification's FORCEDTLS.
    case required
}
