import LinuxIO
import Logging
import Synchronization
import Testing

@testable import KernelDisks

@Suite("A worker whose supervisor has died")
struct FreezeBySupervisorTests {
    /// What a worker has sent, and where it has thawed a file system itself.
    private final class Effects: Sendable {
        let sent = Mutex<[WorkerMessage]>([])
        let thawed = Mutex<[String]>([])
    }

    /// Asks for a freeze for a save, with a reply of the supervisor if there is one, and returns what the worker thaws
    /// when the supervisor has died some milliseconds later.
    private func thawed(_ answer: WorkerMessage?, after milliseconds: Int = 0) throws -> [String] {
        let effects = Effects()
        let freezes = FreezeBySupervisor(
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            thaw: { point in effects.thawed.withLock { $0.append(point) } },
            send: { message in effects.sent.withLock { $0.append(message) } })
        freezes.setMountPoint("/mnt/disk")
        let saver = try Thread(name: "save") { _ = try? freezes.freeze() }
        let deadline = MonotonicTime.now().adding(milliseconds: 10_000)
        while effects.sent.withLock({ $0.isEmpty }), .now() < deadline {
            Thread.sleep(milliseconds: 1)
        }
        #expect(effects.sent.withLock { $0 } == [.freeze(1)])
        if case .frozen(let requestID, let failure)? = answer {
            freezes.answered(requestID, failure: failure)
        }
        freezes.supervisorIsGone(at: .now().adding(milliseconds: milliseconds))
        saver.join()
        return effects.thawed.withLock { $0 }
    }

    @Test("thaws the file system if the supervisor has frozen it for a save, or still may have")
    func own() throws {
        #expect(try thawed(nil) == ["/mnt/disk"])
        #expect(try thawed(nil, after: 60_000) == ["/mnt/disk"])
        #expect(try thawed(.frozen(1, failure: nil)) == ["/mnt/disk"])
        // An answer to another request says nothing.
        #expect(try thawed(.frozen(2, failure: nil), after: 60_000) == ["/mnt/disk"])
    }

    @Test("leaves it frozen if the supervisor cannot have, since someone else has frozen it then")
    func foreign() throws {
        #expect(try thawed(.frozen(1, failure: nil), after: 60_000) == [])
        #expect(try thawed(.frozen(1, failure: "no")) == [])
    }

    @Test("leaves it frozen if it has asked for nothing")
    func unused() {
        let effects = Effects()
        let freezes = FreezeBySupervisor(
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            thaw: { point in effects.thawed.withLock { $0.append(point) } },
            send: { _ in })
        freezes.setMountPoint("/mnt/disk")
        freezes.supervisorIsGone()
        #expect(effects.thawed.withLock { $0 } == [])
    }
}
