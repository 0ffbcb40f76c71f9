internal import Glibc
internal import LinuxIO

/// The reason why the program cannot continue.
package struct Failure: Error {
    /// The kind of the failure. The raw value is the program's exit code, as in sysexits.h.
    package enum Kind: RawRepresentable, Sendable, Equatable {
        /// The command line is wrong. `EX_USAGE`
        case usage
        /// A file cannot be read, or its content is unusable. `EX_NOINPUT`
        case noInput
        /// An address, a host, a device or another resource is not available. `EX_UNAVAILABLE`
        case unavailable
        /// A system call failed, as for lack of memory. `EX_OSERR`
        case system
        /// A file cannot be created. `EX_CANTCREAT`
        case cannotCreate
        /// A read or a write failed. `EX_IOERR`
        case inputOutput
        /// The peer violated the protocol. `EX_PROTOCOL`
        case protocolError
        /// Permission was denied. `EX_NOPERM`
        case notPermitted
        /// A configuration file is wrong. `EX_CONFIG`
        case configuration
        /// Any other exit code: that of a shell or of another process.
        case other(Int32)

        private static let named: [Kind] = [
            .usage, .noInput, .unavailable, .system, .cannotCreate, .inputOutput, .protocolError,
            .notPermitted, .configuration,
        ]

        /// The kind with an exit code.
        package init(rawValue: Int32) {
            self = Self.named.first { $0.rawValue == rawValue } ?? .other(rawValue)
        }

        package var rawValue: Int32 {
            switch self {
            case .usage: 64
            case .noInput: 66
            case .unavailable: 69
            case .system: 71
            case .cannotCreate: 73
            case .inputOutput: 74
            case .protocolError: 76
            case .notPermitted: 77
            case .configuration: 78
            case .other(let code): code
            }
        }
    }

    package let kind: Kind
    /// One sentence that says what was wrong, with which value, and what to do.
    package let sentence: String

    package init(_ kind: Kind, _ sentence: String) {
        self.kind = kind
        self.sentence = sentence
    }

    package static func usage(_ sentence: String) -> Failure { Failure(.usage, sentence) }
    package static func noInput(_ sentence: String) -> Failure { Failure(.noInput, sentence) }
    package static func unavailable(_ sentence: String) -> Failure {
        Failure(.unavailable, sentence)
    }
    package static func system(_ sentence: String) -> Failure { Failure(.system, sentence) }
    package static func cannotCreate(_ sentence: String) -> Failure {
        Failure(.cannotCreate, sentence)
    }
    package static func inputOutput(_ sentence: String) -> Failure {
        Failure(.inputOutput, sentence)
    }
    package static func protocolError(_ sentence: String) -> Failure {
        Failure(.protocolError, sentence)
    }
    package static func notPermitted(_ sentence: String) -> Failure {
        Failure(.notPermitted, sentence)
    }
    package static func configuration(_ sentence: String) -> Failure {
        Failure(.configuration, sentence)
    }

    /// A signal ended the start. The exit code is a shell's: 128 plus the signal.
    package static func interrupted(by signal: Int32) -> Failure {
        Failure(
            .other(128 + signal), "signal \(signal) interrupted the start; there is no disk")
    }

    /// Writes the sentence to standard error.
    package func report() {
        try? writeAll("ramdisk-nbd: error: \(sentence)\n", to: STDERR_FILENO)
    }
}
