internal import CGnuTLS

/// Why credentials are of no use, or a connection could not be encrypted.
public struct TLSFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// One sentence, without a full stop.
    public let description: String

    init(_ description: String) {
        self.description = description
    }

    /// An error of the library's, and what it was about.
    init(_ about: String, code: CInt) {
        description = "\(about): \(unsafe String(tls: gnutls_strerror(code)))"
    }

    /// Throws unless a call of the library's went well.
    static func check(_ code: CInt, _ about: @autoclosure () -> String) throws(TLSFailure) {
        guard code >= 0 else { throw TLSFailure(about(), code: code) }
    }

    /// What a call of the library's has made, through its first parameter.
    static func made<Made>(
        _ about: @autoclosure () -> String, _ make: (inout Made?) -> CInt
    ) throws(TLSFailure) -> Made {
        var made: Made?
        try check(make(&made), about())
        guard let made else { throw TLSFailure(about()) }
        return made
    }
}

/// How the start of TLS can fail.
enum TLSHandshakeError: Error {
    /// It was not over within its deadline.
    case timeout
    /// It went wrong, or was refused by one of the two.
    case failure(TLSFailure)
}

extension String {
    /// A constant of the library's.
    init(tls constant: UnsafePointer<CChar>?) {
        self = unsafe constant.map { unsafe String(cString: $0) } ?? "?"
    }

    /// Bytes that the library has answered with; the caller frees them, where that is its duty.
    init(tls datum: gnutls_datum_t) {
        let bytes = unsafe UnsafeBufferPointer(start: datum.data, count: Int(datum.size))
        self = unsafe String(decoding: bytes, as: UTF8.self)
    }
}
