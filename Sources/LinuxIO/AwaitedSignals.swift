// Signals that a thread waits for, in place of handlers that interrupt whatever runs.

internal import Glibc

/// Signals that are delivered to nobody but who asks for the next one. sigwait(3)
@safe public struct AwaitedSignals: @unchecked Sendable {
    // Sound: nothing changes it after the initializer.
    private let set: sigset_t

    /// Holds these signals back from now on: in this thread and in those that are started by it later,
    /// so it has to be made before there are others. pthread_sigmask(3)
    public init(_ numbers: [Int32]) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for number in numbers { unsafe sigaddset(&set, number) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        self.set = set
    }

    /// Waits for the next of them, and answers its number.
    public func next() -> Int32 {
        var set = set
        var number: Int32 = 0
        while unsafe sigwait(&set, &number) != 0 {}
        return number
    }
}
