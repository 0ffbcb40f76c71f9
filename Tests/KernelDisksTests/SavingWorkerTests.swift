import Glibc
import LinuxHost
import LinuxIO
import SystemPackage
import Testing

@testable import KernelDisks

/// The program, as it was built with the tests.
private let program: String = {
    let tests = SelfExecution.path
    return tests[..<(tests.lastIndex(of: "/") ?? tests.startIndex)] + "/ramdisk-nbd"
}()
private let hasProgram = unsafe access(program, X_OK) == 0

@Suite("A worker that saves its disk", .enabled(if: hasProgram))
struct SavingWorkerTests {
    /// The supervisor of a worker with an image.
    private final class Supervisor {
        let directory: String
        let process: ChildProcess
        private var channel: DescriptorChannel?

        init() throws {
            directory = try temporaryDirectory()
            let pair = try DescriptorChannel.pair()
            process = try ChildProcess(
                program,
                [
                    "up", "--role", "worker", "--size", "1M", "--filesystem", "none", "--queues",
                    "1", "--no-control", "--log-level", "error", "--image", "\(directory)/image",
                ],
                streams: [.null, .standardError, .standardError, .socket(pair.second.handle)],
                ownSession: true)
            channel = consume pair.first
        }

        deinit {
            process.signal(SIGKILL)
            removeDirectory(directory)
        }

        func send(_ message: WorkerMessage, socket: SocketHandle? = nil) throws {
            try channel?.send(message.encoded, socket: socket)
        }

        /// Returns the next message; nil when there is none within `seconds`, or the worker has ended.
        func next(seconds: Int = 20) throws -> WorkerMessage? {
            guard let handle = channel?.handle,
                try PollSource.poll([.input(handle)], milliseconds: seconds * 1000)[0],
                let message = try channel?.receive()
            else { return nil }
            return WorkerMessage(decoding: message.bytes)
        }

        /// Dies, as the worker sees it.
        func die() { channel = nil }

        /// How the worker ends; nil when it has not within `seconds`.
        func ending(seconds: Int = 20) throws -> ChildProcess.Ending? {
            guard try PollSource.poll([.exit(process)], milliseconds: seconds * 1000)[0] else {
                return nil
            }
            return try process.wait()
        }

        /// Has the worker begin a save, and returns when it waits for the file system to be frozen.
        func beginSave() throws {
            guard case .ready? = try next() else { throw Errno.timedOut }
            try send(.mounted("/mnt"))
            try send(.save)
            #expect(try next() == .freeze(1))
        }
    }

    @Test("serves a new connection meanwhile, and thaws the file system before the disk is written")
    func serves() throws {
        let supervisor = try Supervisor()
        try supervisor.beginSave()
        let pair = try socketPair()
        try supervisor.send(.serve, socket: pair.second.handle)
        let greeting = try PollSource.poll([.input(pair.first.handle)], milliseconds: 20_000)
        #expect(greeting[0])
        try supervisor.send(.frozen(1, failure: nil))
        #expect(try supervisor.next() == .thaw(1))
        #expect(try supervisor.next() == .saved(failure: nil))
        try supervisor.send(.stopAndRemove)
        #expect(try supervisor.ending() == .exited(0))
    }

    @Test("saves it once for each request, one after the other")
    func order() throws {
        let supervisor = try Supervisor()
        try supervisor.beginSave()
        try supervisor.send(.save)
        // An answer to another request counts for nothing.
        try supervisor.send(.frozen(2, failure: "other"))
        #expect(try supervisor.next(seconds: 1) == nil)
        try supervisor.send(.frozen(1, failure: "no"))
        #expect(try supervisor.next() == .saved(failure: "no"))
        #expect(try supervisor.next() == .freeze(2))
        try supervisor.send(.frozen(2, failure: nil))
        #expect(try supervisor.next() == .thaw(2))
        #expect(try supervisor.next() == .saved(failure: nil))
        try supervisor.send(.mounted(nil))
        try supervisor.send(.save)
        #expect(try supervisor.next() == .saved(failure: nil))
        try supervisor.send(.stopAndKeep)
        #expect(try supervisor.ending() == .exited(0))
    }

    @Test("waits no longer for the file system when it is to stop, and ends the save first")
    func stop() throws {
        let supervisor = try Supervisor()
        try supervisor.beginSave()
        try supervisor.send(.stopAndRemove)
        #expect(try supervisor.next() == .thaw(1))
        #expect(try supervisor.next() == .saved(failure: nil))
        #expect(try supervisor.ending() == .exited(0))
        #expect(unsafe access("\(supervisor.directory)/image", F_OK) == 0)
    }

    @Test("waits no longer for a supervisor that has died")
    func alone() throws {
        let supervisor = try Supervisor()
        try supervisor.beginSave()
        supervisor.die()
        #expect(try supervisor.ending() == .exited(0))
        #expect(unsafe access("\(supervisor.directory)/image", F_OK) == 0)
    }
}
