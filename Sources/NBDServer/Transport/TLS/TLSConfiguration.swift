public import NBDProtocol

/// What a server is told about TLS. At least one of ``certificates`` and ``keys`` is needed.
public struct TLSConfiguration: Sendable {
    /// Whether clients may, or have to, ask for it.
    public var policy = TLSPolicy.required
    /// A directory with `server-cert.pem`, `server-key.pem`, and for clients' certificates
    /// `ca-cert.pem` and perhaps `ca-crl.pem`.
    public var certificates: String?
    /// Whether clients need a certificate that `ca-cert.pem` has signed.
    public var verifiesClients = false
    /// Distinguished names of which a client's certificate has to have one, such as
    /// `CN=alice,O=Example`; none means that any does. With some, clients are verified.
    public var allowedNames: [String] = []
    /// A file of pre-shared keys: a line `name:hexadecimal key` for each client, as psktool(1) makes
    /// it. Looked at for each connection, so a new line needs no new start.
    public var keys: String?

    /// The defaults.
    public init() {}
}

/// How a connection is encrypted, and for whom.
public struct TLSSummary: Sendable, Hashable {
    /// Version of the protocol: `TLS1.3`.
    public let version: String
    /// Cipher: `AES-256-GCM`.
    public let cipher: String
    /// The distinguished name in the client's certificate, or the name of its key; nil when it has
    /// shown neither.
    public let client: String?
    /// Whether the kernel encrypts and decrypts, rather than this process.
    public internal(set) var isInKernel = false
}
