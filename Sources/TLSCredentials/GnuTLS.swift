internal import ProgramSupport
internal import CGnuTLS

/// Calls of the library's by the program; the server has its own.
enum GnuTLS {
    /// Throws unless a call went well.
    static func check(_ code: CInt, _ what: String) throws(Failure) {
        guard code < 0 else { return }
        let text =
            unsafe gnutls_strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
        throw .system("cannot \(what): \(text)")
    }

    /// What a call has made, through its parameter.
    static func made<Made>(
        _ what: String, _ make: (inout Made?) -> CInt
    ) throws(Failure) -> Made {
        var made: Made?
        try check(make(&made), "make \(what)")
        guard let made else { throw .system("not enough memory for \(what)") }
        return made
    }

    /// What a call has written into memory that it leaves to its caller.
    static func bytes(
        _ what: String, _ write: (inout gnutls_datum_t) -> CInt
    ) throws(Failure) -> [UInt8] {
        var datum = unsafe gnutls_datum_t()
        try unsafe check(write(&datum), what)
        defer { unsafe cgnutls_free(datum.data) }
        return unsafe Array(UnsafeBufferPointer(start: datum.data, count: Int(datum.size)))
    }
}

/// GnuTLS initializes itself when it is loaded, unless the process exports a function of this name that
/// returns 1. Here it is initialized when there are credentials. In the program and not in the
/// `NBDServer` library: a program that embeds the library may have other uses for GnuTLS.
/// gnutls.h, `GNUTLS_SKIP_GLOBAL_INIT`
@_cdecl("_gnutls_global_init_skip")
public func skipImplicitInitializationOfGnuTLS() -> CInt { 1 }
