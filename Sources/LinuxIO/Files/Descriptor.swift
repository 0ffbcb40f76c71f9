internal import CLinux
internal import Glibc

/// A file descriptor and the duty to close it.
public struct Descriptor: ~Copyable, Sendable {
    /// The kernel's number for it; valid as long as this value lives.
    package let rawValue: CInt

    /// Takes over an open descriptor.
    public init(adopting rawValue: CInt) {
        self.rawValue = rawValue
    }

    /// Lets this process have as many as it may allow itself: the usual limit of 1024 is for programs
    /// that use select(2). setrlimit(2), `RLIMIT_NOFILE`
    public static func raiseLimit() {
        // What cannot be raised shows when it is reached.
        _ = clinux_raise_descriptor_limit()
    }

    /// Gives the duty to close it to somebody else.
    consuming func release() -> CInt {
        let number = rawValue
        discard self
        return number
    }

    deinit {
        // close(2): nothing useful can be done about an error, and Linux frees the number anyway.
        _ = close(rawValue)
    }
}
