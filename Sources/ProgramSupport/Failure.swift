internal import Glibc
internal import LinuxIO

/// Why the program cannot go on.
package struct Failure: Error {
    /// One sentence that names the thing and says what to do.
    package let sentence: String
    /// As in sysexits.h.
    package let exitCode: Int32

    package init(sentence: String, exitCode: Int32) {
        self.sentence = sentence
        self.exitCode = exitCode
    }

    /// The command line asks for what cannot be. `EX_USAGE`
    package static func usage(_ sentence: String) -> Failure {
        Failure(sentence: sentence, exitCode: 64)
    }
    /// A file cannot be read, or is not of use. `EX_NOINPUT`
    package static func noInput(_ sentence: String) -> Failure {
        Failure(sentence: sentence, exitCode: 66)
    }
    /// `EX_UNAVAILABLE`
    package static let goneExitCode: Int32 = 69
    /// Something that is wanted is not to be had: an address, a host. `EX_UNAVAILABLE`
    package static func unavailable(_ sentence: String) -> Failure {
        Failure(sentence: sentence, exitCode: goneExitCode)
    }
    /// The system has too little of something. `EX_OSERR`
    package static func system(_ sentence: String) -> Failure {
        Failure(sentence: sentence, exitCode: 71)
    }
    /// A file cannot be made. `EX_CANTCREAT`
    package static func cannotCreate(_ sentence: String) -> Failure {
        Failure(sentence: sentence, exitCode: 73)
    }
    /// Reading or writing went wrong. `EX_IOERR`
    package static func inputOutput(_ sentence: String) -> Failure {
        Failure(sentence: sentence, exitCode: 74)
    }
    /// The other side speaks another language. `EX_PROTOCOL`
    package static func protocolError(_ sentence: String) -> Failure {
        Failure(sentence: sentence, exitCode: 76)
    }
    /// It is not allowed. `EX_NOPERM`
    package static func notPermitted(_ sentence: String) -> Failure {
        Failure(sentence: sentence, exitCode: 77)
    }

    /// A signal has come before there was a result. The exit code is the shell's for that.
    package static func interrupted(by signal: Int32) -> Failure {
        Failure(
            sentence: "the start was interrupted by signal \(signal); there is no disk",
            exitCode: 128 + signal)
    }

    /// Says it on standard error.
    package func tell() {
        try? writeAll("ramdisk-nbd: error: \(sentence)\n", to: STDERR_FILENO)
    }
}
