import Glibc
import LinuxHost
import LinuxIO
import Logging
import NBDKernel
import NBDServer
import ServerHost
import Testing

@testable import KernelDisks

/// A worker in Python, which keeps no disk. It reads the identity of its memory from the file that is its first
/// argument, says that it has created that memory, reports connections that end, and appends the message that
/// stops it to the file that is its second argument, and what it is told about mounts to one beside that. A save is
/// right if the supervisor answers the request to freeze.
private let workerProgram = """
    import select, socket, struct, sys
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
                    sys.exit(0)
            elif not one.recv(4096):
                supervisor.send(b"e" + struct.pack("<Q", connections.pop(one)))
                one.close()
    """

private let python = "/usr/bin/python3"
private let hasPython = unsafe access(python, X_OK) == 0

@Suite("A supervisor", .enabled(if: hasPython))
struct SupervisedDiskServerTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Runs a test with a supervisor of the Python worker; the directory has its files `identity` and `stopped`.
    private func withServer(
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
            logger: logger)
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
            #expect(new.number == old.number)
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
        try withServer { server, directory in
            func save() -> Bool {
                server.beginSave()
                guard poll(server, until: { server.saveOutcome != nil }) else { return false }
                if case .success? = server.saveOutcome { return true }
                return false
            }
            // Without a mount as well: there is nothing to freeze then.
            #expect(save())
            server.setMountPoint("/mnt")
            #expect(save())
            // The thread that freezes for one save may not have ended when the next one begins.
            #expect(save())
            let worker = try #require(server.worker)
            server.endByForce()
            #expect(poll(server) { isReplaced(worker, server) })
            #expect(save())
            server.setMountPoint(nil)
            #expect(save())
            #expect(TextFile.read("\(directory)/stopped.mounted") == "M/mntM/mntM")
        }
    }

    @Test("thaws the file system when the worker asks, and after two seconds if it does not")
    func thawed() throws {
        let answers = EndedConnections()
        let start = MonotonicTime.now()
        let freezes = try (0..<2).map { number in
            try FreezeForWorker.begin(number, at: "/mnt") { failure in
                if failure == nil { answers.insert(number) }
            }
        }
        func wait(until condition: () -> Bool) -> Bool {
            while !condition() {
                guard .now() < start.adding(milliseconds: 10_000) else { return false }
                Thread.sleep(milliseconds: 5)
            }
            return true
        }
        #expect(wait { answers.contains(0) && answers.contains(1) })
        freezes[0].thaw()
        #expect(wait { freezes[0].isOver })
        #expect(wait { freezes[1].isOver })
        #expect(start.adding(milliseconds: 2_000) <= .now())
    }

    @Test("has the worker keep the backing or release the memory")
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
}
