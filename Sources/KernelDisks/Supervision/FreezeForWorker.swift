internal import LinuxHost
internal import LinuxIO
internal import ProgramSupport
internal import SystemPackage

/// A file system that the supervisor freezes for its worker, which saves the disk. The supervisor does it, and not the
/// worker, since the kernel does not thaw a file system when the process ends that has frozen it, and the supervisor is
/// there when its worker dies.
///
/// A thread of its own freezes and thaws: both may wait for the device, and the supervisor's thread must look after the
/// device meanwhile.
final class FreezeForWorker: Sendable {
    /// Freezes the file system that is mounted at a directory, and returns a function that thaws it.
    typealias Freeze = @Sendable (_ point: String) throws(Failure) -> @Sendable () -> Void

    /// Milliseconds after which the file system is thawed in any case: far longer than a snapshot takes, and shorter
    /// than the time for which `down` tries to unmount a file system that is in use.
    static var longest: Int { 2_000 }

    /// The worker's number for the request.
    let requestID: UInt64
    private let thawRequest: EventFD
    /// Signalled when the file system is thawed.
    private let over: OneShotEvent

    private init(requestID: UInt64) throws(Errno) {
        self.requestID = requestID
        thawRequest = try EventFD()
        over = try OneShotEvent()
    }

    /// Begins to freeze the file system that is mounted at a directory. Calls `onFrozen` on another thread when it is
    /// frozen, as far as it can be, or with the reason why not.
    ///
    /// - Parameter previous: a freeze that must be over first: the end of it would thaw the file system.
    static func begin(
        _ requestID: UInt64, at point: String, after previous: FreezeForWorker?,
        _ body: @escaping Freeze,
        onFrozen: @escaping @Sendable (_ failure: String?) -> Void
    ) throws(Errno) -> FreezeForWorker {
        let freeze = try FreezeForWorker(requestID: requestID)
        try Thread(name: "freeze") {
            previous?.over.wait()
            freeze.run(at: point, body, onFrozen)
        }.detach()
        return freeze
    }

    private func run(at point: String, _ body: Freeze, _ onFrozen: (_ failure: String?) -> Void) {
        do throws(Failure) {
            let thaw = try body(point)
            onFrozen(nil)
            _ = try? PollSource.poll([.event(thawRequest)], milliseconds: Self.longest)
            thaw()
        } catch {
            onFrozen(error.sentence)
        }
        over.signal()
    }

    /// Asks the thread to thaw the file system, at once when it is frozen.
    func thaw() { thawRequest.signal() }

    /// Whether the file system is thawed.
    var isOver: Bool { over.wait(milliseconds: 0) }

    /// Asks the thread to thaw the file system, and waits for that, but not longer than it may be frozen.
    func end() {
        thaw()
        _ = over.wait(milliseconds: Self.longest)
    }
}
