/// Why a client was turned away.
public enum RejectionReason: Sendable, Hashable {
    /// ``ServerOptions/admission`` does not have it.
    case notAdmitted
    /// So many connections are being served, and no more are to be. A client is told so, if it can be,
    /// when the last place went while it was in the handshake.
    case connectionLimit(Int)
    /// So many connections have come from where it comes from, and no more are to.
    case sourceLimit(Int)
}
