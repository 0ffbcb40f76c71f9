internal import CGnuTLS
public import NBDProtocol

/// TLS as a server offers it, with credentials that have been read and checked.
public final class TLSContext: Sendable {
    /// Whether clients may use TLS, or must.
    public let policy: TLSPolicy
    /// Problems that do not prevent serving, each in a sentence: secrets that other users can read.
    public let warnings: [String]

    let verifiesClients: Bool
    /// As bytes, because Swift considers strings equal that are only canonically equivalent.
    private let allowedNames: Set<[UInt8]>
    let certificate: TLSCertificate?
    let keys: TLSKeys?
    let ciphers: TLSCiphers

    /// Reads the credentials, and initializes GnuTLS, for programs that keep it from initializing itself when it
    /// is loaded.
    public init(_ configuration: TLSConfiguration) throws(TLSFailure) {
        try TLSFailure.check(gnutls_global_init(), "GnuTLS cannot be initialized")
        policy = configuration.policy
        allowedNames = Set(configuration.allowedNames.map { Array($0.utf8) })
        verifiesClients = configuration.verifiesClients || !configuration.allowedNames.isEmpty
        var warnings: [String] = []
        if let directory = configuration.certificates {
            let files = TLSCertificate.Files(directory: directory)
            certificate = try TLSCertificate.read(files, verifiesClients: verifiesClients)
            warnings += TLSFile.warnings(aboutSecret: files.key)
        } else {
            certificate = nil
        }
        if let path = configuration.keys {
            keys = try TLSKeys.read(path: path)
            warnings += TLSFile.warnings(aboutSecret: path)
        } else {
            keys = nil
        }
        self.warnings = warnings
        ciphers = try TLSCiphers()
        guard configuration.certificates != nil || configuration.keys != nil else {
            throw TLSFailure("TLS needs certificates or pre-shared keys")
        }
    }

    /// Throws if the client is not permitted. A client with a pre-shared key is in the file of keys, and permitted.
    func admit(_ client: TLSPeer) throws(TLSFailure) {
        guard !allowedNames.isEmpty else { return }
        switch client {
        case .key: return
        case .certificate(let name, let reversed):
            guard allowedNames.isDisjoint(with: [Array(name.utf8), Array(reversed.utf8)]) else {
                return
            }
            throw TLSFailure("the client's certificate is for \(name), which is not allowed")
        case .unknown: throw TLSFailure("the client presented no certificate")
        }
    }
}
