internal import ProgramSupport
internal import CGnuTLS

/// Checked calls of GnuTLS for this target; the engine has its own.
enum GnuTLS {
    /// Throws unless a call succeeded.
    static func check(_ code: CInt, _ what: String) throws(Failure) {
        guard code < 0 else { return }
        let text =
            unsafe gnutls_strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
        throw .system("cannot \(what): \(text)")
    }

    /// Returns the object that a call has created through its parameter.
    static func made<Made>(
        _ what: String, _ make: (inout Made?) -> CInt
    ) throws(Failure) -> Made {
        var made: Made?
        try check(make(&made), "make \(what)")
        guard let made else { throw .system("not enough memory for \(what)") }
        return made
    }

    /// Returns the bytes that a call has written into memory that its caller frees.
    static func bytes(
        _ what: String, _ write: (inout gnutls_datum_t) -> CInt
    ) throws(Failure) -> [UInt8] {
        var datum = unsafe gnutls_datum_t()
        try unsafe check(write(&datum), what)
        defer { unsafe cgnutls_free(datum.data) }
        return unsafe Array(UnsafeBufferPointer(start: datum.data, count: Int(datum.size)))
    }
}

/// Skips the initialization of GnuTLS when it is loaded, which a process does by exporting a function of this name
/// that returns 1. This program initializes it when there are credentials. The function is not in the `NBDServer`
/// library, as a program that embeds the library may use GnuTLS for other purposes.
/// gnutls.h, `GNUTLS_SKIP_GLOBAL_INIT`
@_cdecl("_gnutls_global_init_skip")
public func skipImplicitInitializationOfGnuTLS() -> CInt { 1 }
