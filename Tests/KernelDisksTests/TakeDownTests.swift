import Glibc
import LinuxHost
import Logging
import NBDKernel
import ProgramSupport
import ServerHost
import Testing

@testable import KernelDisks

@Suite("Taking down a disk whose supervisor has died")
struct TakeDownTests {
    /// A process that cannot exist: Linux has smaller pids only. proc(5), `pid_max`
    private let dead = ProcessIdentity(pid: 1 << 22, start: 1)
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test("writes to the worker if it runs, serves a backing again if not, and else only detaches")
    func method() {
        var record = DiskRecord(supervisor: dead)
        #expect(TakeDown.OrphanMethod(for: record, isWorkerRunning: false) == .disconnect)
        record.backing = BackingConfiguration(name: "a", isKept: false)
        #expect(TakeDown.OrphanMethod(for: record, isWorkerRunning: true) == .detach)
        #expect(TakeDown.OrphanMethod(for: record, isWorkerRunning: false) == .serveAgain)
        record.backing?.isKept = true
        #expect(TakeDown.OrphanMethod(for: record, isWorkerRunning: false) == .serveAgain)
        // Only a supervisor has a disk saved, so the worker is ended first.
        record.image = "/var/lib/a.img"
        #expect(TakeDown.OrphanMethod(for: record, isWorkerRunning: true) == .serveAgain)
        #expect(TakeDown.OrphanMethod(for: record, isWorkerRunning: false) == .serveAgain)
        record = DiskRecord(supervisor: dead)
        record.remote = "nbd://host"
        #expect(TakeDown.OrphanMethod(for: record, isWorkerRunning: false) == .disconnect)
    }

    @Test("removes the worker, the directories and the record when there is no device")
    func noDevice() throws {
        let path = try temporaryDirectory()
        defer { removeDirectory(path) }
        let directory = RuntimeDirectory(path: path)
        let worker = try ChildProcess("sleep", ["60"], streams: [.null, .null, .null])
        var record = DiskRecord(supervisor: dead)
        record.worker = ProcessIdentity(running: worker.pid)
        record.mountPoint = "\(path)/made/too"
        record.madeDirectories = try Directory.makeAll(record.mountPoint!)
        try directory.write(record)
        try TakeDown(directory: directory, logger: logger, isForced: false).run(record)
        #expect(try worker.wait() == .killed(SIGTERM))
        #expect(!Directory.exists(path))
    }

    @Test("removes every record of the disk, and none of another disk or of a process that lives")
    func records() throws {
        let path = try temporaryDirectory()
        defer { removeDirectory(path) }
        let directory = RuntimeDirectory(path: path)
        let supervisor = try ChildProcess("sleep", ["60"], streams: [.null, .null, .null])
        defer {
            supervisor.signal(SIGKILL)
            _ = try? supervisor.wait()
        }
        func write(_ process: ProcessIdentity, _ identifier: String) throws -> DiskRecord {
            var record = DiskRecord(supervisor: process)
            record.identifier = identifier
            try directory.write(record)
            return record
        }
        let disk = "ramdisk-nbd:memory=test-\(path)"
        let record = try write(dead, disk)
        // As this process writes when it serves the disk again.
        _ = try write(.current, disk)
        let living = try write(try #require(ProcessIdentity(running: supervisor.pid)), disk)
        let other = try write(dead, disk + "-other")
        try TakeDown(directory: directory, logger: logger, isForced: true).run(record)
        #expect(Set(directory.records.map(\.token)) == [living.token, other.token])
    }

    @Test("may be told that a disk is lost only by the process that could not save it")
    func unsaved() {
        let certain = Failure.unsaved("a.img", "full")
        let uncertain = Failure.unsaved("a.img", "full", isCertain: false)
        #expect(certain.sentence.hasSuffix("after the last save to a.img is lost: full"))
        #expect(uncertain.sentence.hasSuffix("after the last save to a.img may be lost: full"))
        #expect(uncertain.kind == .inputOutput)
    }

    private func configuration(_ directory: String) -> KernelDiskConfiguration {
        KernelDiskConfiguration(
            disk: DiskConfiguration(
                name: "", size: nil, isSparse: true, isReadOnly: false, load: nil,
                backing: BackingConfiguration(name: "a", directory: directory, isKept: false)),
            fileSystem: .none, queues: 1, requestTimeout: 2, deadConnectionTimeout: 300)
    }

    @Test("is not confused with a disk that is up: its supervisor and worker stay")
    func living() throws {
        let path = try temporaryDirectory()
        defer { removeDirectory(path) }
        let directory = RuntimeDirectory(path: path)
        let plan = configuration(path)
        let worker = try ChildProcess("sleep", ["60"], streams: [.null, .null, .null])
        var record = DiskRecord(supervisor: .current)
        record.backing = plan.disk.backing
        record.worker = ProcessIdentity(running: worker.pid)
        try directory.write(record)
        let error = #expect(throws: Failure.self) {
            _ = try OrphanedDisk.endOrphanedWorkers(of: plan, directory)
        }
        #expect(error?.sentence.contains("is up already") == true)
        #expect(record.worker?.isRunning == true)
        record.isDetaching = true
        try directory.write(record)
        let other = #expect(throws: Failure.self) {
            _ = try OrphanedDisk.endOrphanedWorkers(of: plan, directory)
        }
        #expect(other?.sentence.contains("is being taken down") == true)
        record.worker?.signal(SIGKILL)
        _ = try worker.wait()
    }

    @Test(
        "ends the worker of the wanted backing before the next one may hold it, and no other worker"
    )
    func orphans() throws {
        let path = try temporaryDirectory()
        defer { removeDirectory(path) }
        let directory = RuntimeDirectory(path: path)
        let plan = configuration(path)
        let worker = try ChildProcess("sleep", ["60"], streams: [.null, .null, .null])
        let other = try ChildProcess("sleep", ["60"], streams: [.null, .null, .null])
        var record = DiskRecord(supervisor: dead)
        record.backing = plan.disk.backing
        record.worker = ProcessIdentity(running: worker.pid)
        var otherRecord = DiskRecord(supervisor: dead)
        otherRecord.backing = BackingConfiguration(name: "b", directory: path, isKept: false)
        otherRecord.worker = ProcessIdentity(running: other.pid)
        try directory.write(record)
        try directory.write(otherRecord)
        #expect(try OrphanedDisk.endOrphanedWorkers(of: plan, directory) == [record])
        #expect(try worker.wait() == .killed(SIGTERM))
        #expect(otherRecord.worker?.isRunning == true)
        otherRecord.worker?.signal(SIGKILL)
        _ = try other.wait()
    }
}
