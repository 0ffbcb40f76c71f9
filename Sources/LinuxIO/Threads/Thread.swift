internal import CLinux
internal import Glibc
public import SystemPackage

/// A thread that runs one function.
public final class Thread: Sendable {
    private let identifier: pthread_t

    /// The size of a thread's stack in bytes. The loops of this program are flat, and what is large is in
    /// buffers.
    public static var stackSize: Int { 256 << 10 }

    /// Starts a thread, in which all signals are blocked. pthread_create(3)
    ///
    /// - Parameter name: at most 15 bytes, as `top -H` shows it.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws(Errno) {
        let context = unsafe Unmanaged.passRetained(Body(name: name, run: body))
        var identifier = pthread_t()
        do throws(Errno) {
            try checked(
                unsafe clinux_thread_start(
                    &identifier, Self.stackSize,
                    { context in
                        // Sound: retained for exactly this call, a few lines above.
                        guard let context = unsafe context else { return nil }
                        let body = unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue()
                        unsafe clinux_thread_name(body.name)
                        body.run()
                        return nil
                    }, context.toOpaque()))
        } catch {
            unsafe context.release()
            throw error
        }
        self.identifier = identifier
    }

    /// Waits until the thread has ended. Call this once. pthread_join(3)
    public func join() {
        _ = pthread_join(identifier, nil)
    }

    /// Releases the thread's memory when the thread ends. Call this once, in place of ``join()``. pthread_detach(3)
    public func detach() {
        _ = pthread_detach(identifier)
    }

    /// Suspends the calling thread. clock_nanosleep(2)
    public static func sleep(milliseconds: Int) {
        MonotonicTime.now().adding(milliseconds: milliseconds).sleep()
    }

    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void

        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }
}
