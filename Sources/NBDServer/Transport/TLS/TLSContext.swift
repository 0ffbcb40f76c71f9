internal import CGnuTLS
public import NBDProtocol

/// TLS as a server offers it. It can be had only with credentials that are of use.
public final class TLSContext: Sendable {
    /// Whether clients may, or have to, ask for it.
    public let policy: TLSPolicy
    /// What works but should not stay so, each in a sentence: keys that others can read.
    public let warnings: [String]

    let verifiesClients: Bool
    /// As bytes: strings are the same to Swift when they look the same.
    private let allowedNames: Set<[UInt8]>
    let certificate: TLSCertificate?
    let keys: TLSKeys?
    let ciphers: TLSCiphers

    /// Reads the credentials. Initializes GnuTLS, which a program may keep from doing so by itself when it
    /// is loaded.
    public init(_ configuration: TLSConfiguration) throws(TLSFailure) {
        try TLSFailure.check(gnutls_global_init(), "GnuTLS cannot be used")
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
            throw TLSFailure("TLS needs certificates or keys")
        }
    }

    /// Throws if the client is none of those that are wanted. Who has a key is in the list of keys.
    func admit(_ client: TLSPeer) throws(TLSFailure) {
        guard !allowedNames.isEmpty else { return }
        switch client {
        case .key: return
        case .certificate(let name, let reversed):
            guard allowedNames.isDisjoint(with: [Array(name.utf8), Array(reversed.utf8)]) else {
                return
            }
            throw TLSFailure("the client's certificate is for \(name), which is not allowed")
        case .unknown: throw TLSFailure("the client has shown no certificate")
        }
    }
}
