internal import CGnuTLS

/// The reason why credentials cannot be used, or why a connection could not be encrypted.
public struct TLSFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// One sentence, without a full stop.
    public let description: String
    /// The path of a credential file that does not exist, if that is the error.
    public let missingFile: String?

    init(_ description: String) {
        self.description = description
        missingFile = nil
    }

    init(missingFile path: String) {
        description = "there is no file \(path)"
        missingFile = path
    }

    /// An error that GnuTLS has returned, with what it was about.
    init(_ about: String, code: CInt) {
        description = "\(about): \(unsafe String(tls: gnutls_strerror(code)))"
        missingFile = nil
    }

    /// Throws if a call of GnuTLS has failed.
    static func check(_ code: CInt, _ about: @autoclosure () -> String) throws(TLSFailure) {
        guard code >= 0 else { throw TLSFailure(about(), code: code) }
    }

    /// Returns what a call of GnuTLS has stored through its first parameter.
    static func made<Made>(
        _ about: @autoclosure () -> String, _ make: (inout Made?) -> CInt
    ) throws(TLSFailure) -> Made {
        var made: Made?
        try check(make(&made), about())
        guard let made else { throw TLSFailure(about()) }
        return made
    }
}

/// A failure of a TLS handshake.
enum TLSHandshakeError: Error {
    /// The handshake was not done before its deadline.
    case timeout
    /// The handshake failed, or one side rejected it.
    case failure(TLSFailure)
}

extension String {
    /// A string constant of GnuTLS.
    init(tls constant: UnsafePointer<CChar>?) {
        self = unsafe constant.map { unsafe String(cString: $0) } ?? "?"
    }

    /// Bytes that GnuTLS has returned. The caller frees them where GnuTLS says so.
    init(tls datum: gnutls_datum_t) {
        let bytes = unsafe UnsafeBufferPointer(start: datum.data, count: Int(datum.size))
        self = unsafe String(decoding: bytes, as: UTF8.self)
    }
}
