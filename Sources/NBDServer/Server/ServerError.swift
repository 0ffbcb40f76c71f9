public import SystemPackage

/// The reason why a server could not be made or started.
public struct ServerError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A kind of error. More may be added.
    public struct Code: Sendable, Hashable {
        private let name: String
        private init(_ name: String) { self.name = name }

        /// A server needs at least one export.
        public static var noExports: Code { Code("noExports") }
        /// An export's name, description or size is not one that NBD can carry.
        public static var invalidExport: Code { Code("invalidExport") }
        /// Two exports have the same name.
        public static var duplicateExport: Code { Code("duplicateExport") }
        /// An address is not one to listen on, or a network not one to admit.
        public static var invalidAddress: Code { Code("invalidAddress") }
        /// The server cannot watch as many listening sockets.
        public static var tooManyListeners: Code { Code("tooManyListeners") }
        /// An option has a value outside its range.
        public static var invalidOption: Code { Code("invalidOption") }
        /// Listening failed; ``ServerError/errno`` says why.
        public static var cannotListen: Code { Code("cannotListen") }
        /// The kernel has no thread, descriptor or memory left; ``ServerError/errno`` says which.
        public static var noResources: Code { Code("noResources") }
        /// The server was stopped. A server starts once.
        public static var stopped: Code { Code("stopped") }
    }

    /// The kind of error.
    public let code: Code
    /// One sentence for people, without a full stop.
    public let description: String
    /// The kernel's error, if it was one.
    public let errno: Errno?

    init(_ code: Code, _ description: String, _ errno: Errno? = nil) {
        self.code = code
        self.description = description
        self.errno = errno
    }

    static func resources(_ error: Errno) -> ServerError {
        ServerError(.noResources, "cannot start the server: \(error)", error)
    }
}
