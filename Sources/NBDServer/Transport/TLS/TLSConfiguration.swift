public import NBDProtocol

/// The TLS settings of a server. At least one of ``certificates`` and ``keys`` is required.
public struct TLSConfiguration: Sendable {
    /// Whether clients may use TLS, or must.
    public var policy = TLSPolicy.required
    /// A directory with `server-cert.pem` and `server-key.pem` and, to verify clients, `ca-cert.pem` and
    /// optionally `ca-crl.pem`.
    public var certificates: String?
    /// Whether clients must have a certificate that `ca-cert.pem` has signed.
    public var verifiesClients = false
    /// The distinguished names that a client's certificate may have, such as `CN=alice,O=Example`; empty permits
    /// every name. If there are any, clients are verified.
    public var allowedNames: [String] = []
    /// A file of pre-shared keys: a line `name:hexadecimal key` for each client, as psktool(1) writes it. GnuTLS
    /// reads it for each connection, so the server need not restart after a change.
    public var keys: String?

    /// The defaults.
    public init() {}
}

/// The encryption of a connection, and its client.
public struct TLSSummary: Sendable, Hashable {
    /// The protocol version, such as `TLS1.3`.
    public let version: String
    /// The cipher, such as `AES-256-GCM`.
    public let cipher: String
    /// The distinguished name in the client's certificate, or the name of its pre-shared key; nil when it has
    /// presented neither.
    public let client: String?
    /// Whether the kernel encrypts and decrypts, instead of this process.
    public internal(set) var isInKernel = false
}
