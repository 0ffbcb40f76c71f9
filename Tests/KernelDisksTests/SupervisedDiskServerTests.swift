import Glibc
import LinuxHost
import LinuxIO
import Logging
import NBDKernel
import NBDServer
import ProgramSupport
import ServerHost
import Synchronization
import Testing

@testable import KernelDisks

/// A worker in Python, which keeps no disk. It reads the identity of its memory from the file that is its first
/// argument, says that it has created that memory, and reports connections that end. It appends the message that
/// stops it to the file that is its second argument, and each message about a mount to a file beside that. A save
/// succeeds if the supervisor answers the request to freeze. A file `stuck` beside the first one makes a worker ignore
/// one request to stop: the worker removes the file, and continues.
private let workerProgram = """
    import os, select, socket, struct, sys, time
    supervisor = socket.socket(fileno=3)
    supervisor.send(b"r\\0\\0\\x08" + open(sys.argv[1], "rb").read(16))
    connections = {}
    count = 0
    while True:
        ready, _, _ = select.select([supervisor, *connections], [], [])
        for one in ready:
            if one is supervisor:
                message, descriptors, _, _ = socket.recv_fds(supervisor, 64, 1)
                if message == b"S":
                    count += 1
                    connection = socket.socket(fileno=descriptors[0])
                    connection.sendall(b"NBDMAGICIHAVEOPT\\0\\2" + struct.pack(">QH", 1 << 20, 1))
                    connections[connection] = count
                elif message[:1] == b"M":
                    open(sys.argv[2] + ".mounted", "ab").write(message)
                elif message == b"V":
                    number = struct.pack("<Q", 5)
                    supervisor.send(b"F" + number)
                    answer = supervisor.recv(64)
                    supervisor.send(b"T" + number)
                    supervisor.send(b"v" if answer == b"f" + number else b"v" + answer)
                else:
                    open(sys.argv[2], "ab").write(message)
                    if os.path.exists(sys.argv[1] + ".stuck"):
                        os.remove(sys.argv[1] + ".stuck")
                        time.sleep(60)
                    sys.exit(0)
            elif not one.recv(4096):
                supervisor.send(b"e" + struct.pack("<Q", connections.pop(one)))
                one.close()
    """

private let python = "/usr/bin/python3"
private let hasPython = unsafe access(python, X_OK) == 0

/// A file system that counts how often it was frozen and thawed.
private final class FakeFileSystem: Sendable {
    private struct State {
        var points: [String] = []
        var frozen = 0
        var mostFrozen = 0
    }

    private let state = Mutex(State())

    func freeze(at point: String) throws(Failure) -> @Sendable () -> Void {
        state.withLock { state in
            state.points.append(point)
            state.frozen += 1
            state.mostFrozen = max(state.mostFrozen, state.frozen)
        }
        return { self.state.withLock { $0.frozen -= 1 } }
    }

    /// Where it was frozen, each time.
    var points: [String] { state.withLock { $0.points } }
    /// How often it was frozen and not thawed yet.
    var frozen: Int { state.withLock { $0.frozen } }
    var mostFrozen: Int { state.withLock { $0.mostFrozen } }
}

@Suite("A supervisor", .enabled(if: hasPython))
struct SupervisedDiskServerTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Runs a test with a supervisor of the Python worker; the directory has its files `identity` and `stopped`.
    private func withServer(
        limits: SupervisedDiskServer.Limits = SupervisedDiskServer.Limits(),
        fileSystem: FakeFileSystem = FakeFileSystem(),
        _ body: (SupervisedDiskServer, _ directory: String) throws -> Void
    ) throws {
        let directory = try temporaryDirectory()
        defer { removeDirectory(directory) }
        try TextFile.replace("\(directory)/identity", with: "memory of a disk")
        let server = try SupervisedDiskServer(
            .init(
                program: python,
                arguments: [
                    "-c", workerProgram, "\(directory)/identity", "\(directory)/stopped",
                ]),
            limits: limits, logger: logger, stop: SupervisorMailbox(),
            freeze: fileSystem.freeze(at:))
        defer { server.stop(isKept: true) }
        try body(server, directory)
    }

    /// Polls until something is so; false when it is not after some seconds.
    private func poll(
        _ server: SupervisedDiskServer, seconds: Int = 5, until condition: () -> Bool
    ) -> Bool {
        let deadline = MonotonicTime.now().adding(milliseconds: seconds * 1000)
        while !condition() {
            guard .now() < deadline else { return false }
            _ = try? PollSource.poll(
                server.pollSources, milliseconds: min(server.pollTimeout ?? 20, 20))
            _ = server.poll()
        }
        return true
    }

    /// Whether another worker runs. A killed worker counts as none as soon as it is a zombie, so the property is read
    /// once.
    private func isReplaced(_ worker: ProcessIdentity, _ server: SupervisedDiskServer) -> Bool {
        guard let current = server.worker else { return false }
        return current != worker
    }

    @Test("counts a connection as ended only when the worker has reported its end")
    func ended() throws {
        try withServer { server, _ in
            let first = try server.connect()
            let second = try server.connect()
            #expect(!server.hasEnded(first))
            first.connection.cut()
            #expect(poll(server) { server.hasEnded(first) })
            #expect(!server.hasEnded(second))
        }
    }

    @Test(
        "replaces a worker that dies; the connections of the dead one have ended, those of the new one not"
    )
    func replaced() throws {
        try withServer { server, _ in
            let old = try server.connect()
            let worker = try #require(server.worker)
            server.endByForce()
            #expect(poll(server) { isReplaced(worker, server) })
            #expect(server.hasEnded(old))
            let new = try server.connect()
            #expect(new.connectionID == old.connectionID)
            #expect(!server.hasEnded(new))
            #expect(server.hasEnded(old))
        }
    }

    @Test("serves nothing from a worker that does not have the memory of the first one")
    func otherMemory() throws {
        try withServer { server, directory in
            let identity = server.identifier
            try TextFile.replace("\(directory)/identity", with: "memory of other!")
            let worker = try #require(server.worker)
            server.endByForce()
            #expect(poll(server) { TextFile.read("\(directory)/stopped") == "R" })
            #expect(server.worker == nil)
            #expect(throws: (any Error).self) { _ = try server.connect() }
            #expect(server.identifier == identity)
            // The memory is there again, and so is the disk.
            try TextFile.replace("\(directory)/identity", with: "memory of a disk")
            #expect(poll(server) { isReplaced(worker, server) })
            _ = try server.connect()
        }
    }

    @Test(
        "freezes the file system for a save when the worker asks, and tells each worker where it is"
    )
    func frozen() throws {
        let fileSystem = FakeFileSystem()
        try withServer(fileSystem: fileSystem) { server, directory in
            func save() -> Bool {
                server.beginSave()
                guard poll(server, until: { server.saveOutcome != nil }) else { return false }
                if case .success? = server.saveOutcome { return true }
                return false
            }
            // Without a mount as well: there is nothing to freeze then.
            #expect(save())
            #expect(fileSystem.points == [])
            server.setMountPoint(directory)
            #expect(save())
            // The thread that freezes for one save may not have ended when the next one begins.
            #expect(save())
            #expect(fileSystem.points == [directory, directory])
            let worker = try #require(server.worker)
            server.endByForce()
            #expect(poll(server) { isReplaced(worker, server) })
            #expect(save())
            #expect(fileSystem.points == [directory, directory, directory])
            server.setMountPoint(nil)
            #expect(save())
            #expect(fileSystem.points.count == 3)
            #expect(poll(server) { fileSystem.frozen == 0 })
            #expect(fileSystem.mostFrozen == 1)
            #expect(TextFile.read("\(directory)/stopped.mounted") == "M\(directory)M\(directory)M")
        }
    }

    /// Waits until something is so; false when it is not after some seconds.
    private func wait(until condition: () -> Bool) -> Bool {
        let deadline = MonotonicTime.now().adding(milliseconds: 10_000)
        while !condition() {
            guard .now() < deadline else { return false }
            Thread.sleep(milliseconds: 5)
        }
        return true
    }

    @Test("thaws the file system when the worker asks, and after two seconds if it does not")
    func thawed() throws {
        let fileSystem = FakeFileSystem()
        let answers = EndedConnections()
        let start = MonotonicTime.now()
        let freezes = try (0..<2).map { requestID in
            try FreezeForWorker.begin(requestID, at: "/mnt", after: nil, fileSystem.freeze(at:)) {
                failure in
                if failure == nil { answers.insert(requestID) }
            }
        }
        #expect(wait { answers.contains(0) && answers.contains(1) })
        #expect(fileSystem.frozen == 2)
        freezes[0].thaw()
        #expect(wait { freezes[0].isOver })
        #expect(fileSystem.frozen == 1)
        #expect(wait { freezes[1].isOver })
        #expect(fileSystem.frozen == 0)
        #expect(start.adding(milliseconds: 2_000) <= .now())
    }

    @Test("freezes the file system for a save only when the freeze before is over")
    func oneFreeze() throws {
        let fileSystem = FakeFileSystem()
        let answers = EndedConnections()
        func begin(_ requestID: UInt64, after previous: FreezeForWorker?) throws -> FreezeForWorker
        {
            try FreezeForWorker.begin(
                requestID, at: "/mnt", after: previous, fileSystem.freeze(at:)
            ) { _ in answers.insert(requestID) }
        }
        let first = try begin(1, after: nil)
        let second = try begin(2, after: first)
        #expect(wait { answers.contains(1) })
        Thread.sleep(milliseconds: 100)
        #expect(!answers.contains(2))
        first.thaw()
        #expect(wait { answers.contains(2) })
        #expect(first.isOver)
        #expect(fileSystem.frozen == 1)
        second.end()
        #expect(fileSystem.frozen == 0)
        #expect(fileSystem.mostFrozen == 1)
    }

    /// Starts a supervisor of a worker that is never ready, and returns the error.
    private func startInVain(
        _ limits: SupervisedDiskServer.Limits, _ stop: SupervisorMailbox
    ) -> Failure? {
        #expect(throws: Failure.self) {
            _ = try SupervisedDiskServer(
                .init(program: python, arguments: ["-c", "import time; time.sleep(60)"]),
                limits: limits, logger: logger, stop: stop)
        }
    }

    @Test("gives the first worker as long to fill the disk as a save takes, and not without end")
    func startLimit() throws {
        var disk = DiskConfiguration(name: "", size: 1 << 20, isSparse: true, isReadOnly: false)
        #expect(SupervisedDiskServer.Limits(for: disk).start == 120_000)
        disk.image = ImageConfiguration(path: "/var/lib/a.img")
        #expect(SupervisedDiskServer.Limits(for: disk).start == 3_600_000)
        disk.image = nil
        disk.load = "/var/lib/a.img"
        #expect(SupervisedDiskServer.Limits(for: disk).start == 3_600_000)
        var limits = SupervisedDiskServer.Limits()
        limits.start = 1_000
        let failure = startInVain(limits, try SupervisorMailbox())
        #expect(failure?.sentence == "the worker was not ready in 1 seconds")
    }

    @Test("waits for the first worker no longer than until it is asked to stop")
    func interrupted() throws {
        let start = MonotonicTime.now()
        let stop = try SupervisorMailbox()
        stop.request(signal: SIGTERM)
        let failure = startInVain(SupervisedDiskServer.Limits(), stop)
        #expect(failure?.sentence == Failure.interrupted(by: SIGTERM).sentence)
        #expect(MonotonicTime.now() < start.adding(milliseconds: 30_000))
    }

    @Test("tells the worker to keep the backing or to release the memory")
    func stopped() throws {
        try withServer { server, directory in
            server.stop(isKept: true)
            #expect(TextFile.read("\(directory)/stopped") == "K")
        }
        try withServer { server, directory in
            server.stop(isKept: false)
            #expect(TextFile.read("\(directory)/stopped") == "R")
        }
    }

    @Test("replaces a dead worker to have the memory released, but not to keep it")
    func stoppedWhenDead() throws {
        try withServer { server, directory in
            server.endByForce()
            #expect(poll(server) { server.pollSources.isEmpty })
            server.stop(isKept: true)
            #expect(TextFile.read("\(directory)/stopped") == nil)
        }
        try withServer { server, directory in
            server.endByForce()
            #expect(poll(server) { server.pollSources.isEmpty })
            server.stop(isKept: false)
            #expect(TextFile.read("\(directory)/stopped") == "R")
        }
    }

    @Test("has the memory released also when the worker has died since the last poll")
    func stoppedWhenDeathIsUnnoticed() throws {
        try withServer { server, directory in
            server.endByForce()
            let deadline = MonotonicTime.now().adding(milliseconds: 5_000)
            while server.worker != nil, .now() < deadline {
                Thread.sleep(milliseconds: 1)
            }
            #expect(!server.pollSources.isEmpty)
            server.stop(isKept: false)
            #expect(TextFile.read("\(directory)/stopped") == "R")
        }
    }

    @Test("kills a worker that does not stop, and has another one release the memory")
    func stuck() throws {
        var limits = SupervisedDiskServer.Limits()
        limits.stop = 500
        try withServer(limits: limits) { server, directory in
            try TextFile.replace("\(directory)/identity.stuck", with: "")
            server.stop(isKept: false)
            #expect(TextFile.read("\(directory)/stopped") == "RR")
            #expect(server.worker == nil)
        }
        try withServer(limits: limits) { server, directory in
            try TextFile.replace("\(directory)/identity.stuck", with: "")
            server.stop(isKept: true)
            #expect(TextFile.read("\(directory)/stopped") == "K")
        }
    }
}
