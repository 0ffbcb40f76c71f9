// Why a client was turned away.

/// Why a client was closed before a byte was read from it.
public enum Refusal: Sendable, Hashable {
    /// ``ServerOptions/admission`` does not have it.
    case notAdmitted
    /// So many connections are being served, and no more are to be.
    case connectionLimit(Int)
    /// So many connections have come from where it comes from, and no more are to.
    case sourceLimit(Int)
}
