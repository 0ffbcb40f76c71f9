// Something that one thread waits for and others bring about.

public import SystemPackage

/// Something that happens once.
public final class Completion: Sendable {
    private let wakeUp: WakeUp

    /// It has not happened yet.
    public init() throws(Errno) {
        wakeUp = try WakeUp()
    }

    /// It has happened. More than once is as good as once.
    public func fulfil() { wakeUp.signal() }

    /// Waits until it has happened; any number of threads may.
    public func wait() {
        while (try? SocketHandle(number: wakeUp.descriptor.rawValue)
            .waitReadable(milliseconds: -1)) != true
        {}
    }
}
