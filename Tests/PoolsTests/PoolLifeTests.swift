// Pools from `up` to `down`, on a machine with made-up devices and a made-up mdadm.

import Glibc
import Harness
import LinuxHost
import LinuxIO
import Logging
import NBDKernel
import NBDProtocol
import ProgramSupport
import ServiceDiscovery
import Synchronization
import SystemPackage
import Testing

@testable import KernelDisks
@testable import Pools

@Suite("The life of a pool")
struct PoolLifeTests {
    private let machine: FakeMachine
    private let temporary: TemporaryDirectory
    private let directory: PoolDirectory
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let a = "nbd://a"
    private let b = "nbd://b"

    init() throws {
        machine = try FakeMachine()
        temporary = try TemporaryDirectory()
        directory = PoolDirectory(RuntimeDirectory(path: temporary.path))
    }

    private func source(_ text: String) throws -> MemberSource {
        if let service = ServiceURI(text) { return .service(service) }
        return text == "missing" ? .missing : .remote(try NBDURI(text))
    }

    @discardableResult
    private func up(
        _ members: [String], name: String = "r", level: PoolLevel = .mirror, isForced: Bool = false,
        stop: SupervisorMailbox? = nil
    ) throws -> PoolStatus {
        let plan = PoolConfiguration(
            name: name, level: level, sources: try members.map(source), timeout: 0,
            fileSystem: .none, isForced: isForced)
        return try PoolUp(
            plan, logger: logger, stop: try stop ?? SupervisorMailbox(), machine: machine
        ).bringUp { () throws(Failure) in
            _ = try? Directory.make(temporary.path)
            return directory
        }
    }

    @discardableResult
    private func replace(
        _ old: String, with new: String, hasMemory: Bool = false
    ) throws -> PoolStatus {
        try PoolReplace(
            PoolReplace.Request(
                pool: "r", old: old, new: try source(new), hasMemory: hasMemory, isForced: false),
            try #require(directory.current("r")), in: directory, stop: SupervisorMailbox(),
            machine: machine
        )()
    }

    /// Checks that an action is refused for a reason.
    private func expectRefusal(
        _ reason: String, at location: SourceLocation = #_sourceLocation,
        _ action: () throws -> Void
    ) {
        do {
            try action()
            Issue.record("nothing was refused", sourceLocation: location)
        } catch {
            let sentence = (error as? Failure)?.sentence ?? "\(error)"
            #expect(sentence.contains(reason), sourceLocation: location)
        }
    }

    /// Checks that nothing of a pool is left.
    private func expectNothing(at location: SourceLocation = #_sourceLocation) {
        #expect(machine.now.attached.isEmpty, sourceLocation: location)
        #expect(machine.now.array == nil, sourceLocation: location)
        #expect(Directory.names(in: temporary.path).isEmpty, sourceLocation: location)
    }

    @Test("is a new array of blank members, each of which is read once, until it is taken down")
    func whole() throws {
        machine.addDisk(a)
        machine.addDisk(b)
        let status = try up([a, b])
        #expect(status.members.map(\.state) == [.inSync, .inSync])
        #expect(machine.now.reads == ["/dev/nbd0", "/dev/nbd1"])
        try PoolDown(directory: directory, machine: machine)
            .takeDown(try #require(directory.current("r")))
        expectNothing()
    }

    // MARK: - Starting

    @Test("ends with its start when a member cannot be attached: those before it are detached")
    func unreachable() throws {
        machine.addDisk(a)
        expectRefusal("no server at nbd://b") { try up([a, b]) }
        expectNothing()
    }

    @Test("does not begin over a member that cannot be read, which looks blank to mdadm and blkid")
    func unreadable() throws {
        machine.addDisk(a)
        machine.addDisk(b, disk: FakeDisk(isReadable: false))
        expectRefusal("cannot read /dev/nbd1") { try up([a, b]) }
        #expect(!machine.now.runs.contains { $0.contains("--create") })
        expectNothing()
    }

    @Test("does not begin over a file system")
    func fileSystem() throws {
        machine.addDisk(a, disk: FakeDisk(type: "ext4"))
        machine.addDisk(b)
        expectRefusal("nbd://a holds ext4") { try up([a, b]) }
        expectNothing()
        try up([a, b], isForced: true)
    }

    @Test("does not take one disk under two names for two members, whatever it holds")
    func oneDiskTwice() throws {
        machine.addDisk(a, b)
        expectRefusal("nbd://a and nbd://b are the same disk") { try up([a, b]) }
        // Now it has a superblock, that of the last name.
        #expect(machine.disk(a).superblock != nil)
        expectRefusal("nbd://a and nbd://b are the same disk") {
            try up([a, b], isForced: true)
        }
        #expect(machine.now.runs.count { $0.contains("--create") } == 1)
        expectNothing()
    }

    @Test("does not share an export with another pool, nor touch it")
    func sharedExport() throws {
        machine.addDisk(a)
        machine.addDisk(b)
        machine.addDisk("nbd://c")
        try up([a, b])
        expectRefusal("nbd://b is a member of the pool r") { try up(["nbd://c", b], name: "s") }
        #expect(Set(machine.now.attached.values) == [a, b])
        #expect(directory.current("s") == nil)
    }

    @Test("gets other devices than one that starts at the same time")
    func race() throws {
        for name in [a, b, "nbd://c", "nbd://d"] { machine.addDisk(name) }
        let members = PoolMembers(directory: directory, machine: machine)
        let arrived = Atomic<Int>(0)
        // Neither export is attached before both have chosen a device.
        machine.change { state in
            state.beforeAttach = { _, _ in
                arrived.add(1, ordering: .relaxed)
                for _ in 0..<2_000 where arrived.load(ordering: .relaxed) < 2 { usleep(1_000) }
            }
        }
        let uris = [try NBDURI(a), try NBDURI("nbd://c")]
        let directory = self.directory
        let devices = Mutex<[NBDDevice]>([])
        let threads = try uris.enumerated().map { index, uri in
            try LinuxIO.Thread(name: "up") {
                var record = PoolRecord(name: "p\(index)", level: .mirror, timeout: 0)
                guard let stop = try? SupervisorMailbox(),
                    let device = try? members.attach(.remote(uri), to: &record, stop: stop)
                else { return }
                #expect(directory.current("p\(index)")?.members.first?.device == device.path)
                devices.withLock { $0.append(device) }
            }
        }
        for thread in threads { thread.join() }
        #expect(Set(devices.withLock { $0 }).count == 2)
        #expect(machine.now.conflicts == 0)
    }

    @Test("takes another device when another program takes the one that was free")
    func otherProgram() throws {
        machine.addDisk(a)
        machine.addDisk(b)
        machine.change { state in
            state.beforeAttach = { machine, device in
                machine.change { state in
                    if device.index == 0 { state.attached[device] = "another program's" }
                }
            }
        }
        try up([a, b])
        let record = try #require(directory.current("r"))
        #expect(record.members.map(\.device) == ["/dev/nbd1", "/dev/nbd2"])
        #expect(machine.now.attached[NBDDevice(index: 0)] == "another program's")
    }

    @Test("does not detach what another program has attached, though it is the same export")
    func otherProgramWithSameExport() throws {
        machine.addDisk(a)
        machine.change { state in
            state.beforeAttach = { machine, device in
                machine.change { $0.attached[device] = "nbd://a" }
            }
        }
        expectRefusal("is in use") { try up([a, "missing"]) }
        let conflicts = machine.now.conflicts
        #expect(conflicts > 1)
        #expect(machine.now.attached.count == conflicts)
    }

    @Test("knows the error of a device that something else uses")
    func busyDevice() {
        let device = NBDDevice(index: 1)
        #expect(Failure.attaching(device, .resourceBusy).isInUse(device))
        #expect(!Failure.attaching(device, .resourceBusy).isInUse(NBDDevice(index: 11)))
        #expect(!Failure.attaching(device, .ioError).isInUse(device))
    }

    @Test("does not try another device after an error that has nothing to do with the device")
    func otherError() throws {
        machine.change { state in
            state.beforeAttach = { machine, device in
                machine.change { $0.attached[device] = "another program's" }
            }
        }
        expectRefusal("no server at nbd://a") { try up([a, "missing"]) }
        #expect(machine.now.attached.count == 1)
    }

    @Test("gets the first device that is free, or whose number is")
    func gaps() {
        let devices = [0, 2, 5].map { NBDDevice(index: $0) }
        func first(taken: Set<UInt32>) -> UInt32 {
            PoolMembers.firstFree(devices) { taken.contains($0.index) }.index
        }
        #expect(first(taken: []) == 0)
        #expect(first(taken: [0, 5]) == 2)
        #expect(first(taken: [0, 2, 5]) == 1)
        #expect(first(taken: [0, 1, 2, 3, 5]) == 4)
        #expect(PoolMembers.firstFree([]) { _ in false }.index == 0)
    }

    // MARK: - What members hold

    /// Members of one array: nbd://a and so on.
    private func addMembers(events: [Int], states: [String], times: [Int] = [0, 0, 0]) {
        for (index, name) in [a, b, "nbd://c"].prefix(events.count).enumerated() {
            let superblock = FakeDisk.Superblock(
                array: 7, level: 1, memberCount: events.count, member: 100 + index,
                events: events[index], place: index, states: states[index],
                updateTime: times[index])
            machine.addDisk(name, disk: FakeDisk(superblock: superblock))
        }
    }

    /// Whether mdadm was to start an array with a device.
    private func isAssembled(_ device: String) -> Bool {
        machine.now.runs.contains { run in
            run.contains("--assemble") && run.split(separator: " ").contains { $0 == device }
        }
    }

    /// mdadm and the kernel take a member that is one change behind for one in sync.
    @Test(
        "continues with the newest member, and fills one that was given up, by however few changes",
        arguments: [4, 8, 9])
    func stale(events: Int) throws {
        addMembers(events: [9, events], states: ["A.", "AA"])
        try up([a, b])
        #expect(isAssembled("/dev/nbd0"))
        #expect(!isAssembled("/dev/nbd1"))
        #expect(machine.now.runs.contains("wipefs --all /dev/nbd1"))
        #expect(
            machine.now.runs.contains { $0.hasPrefix("mdadm --manage") && $0.contains("--add") })
        #expect(machine.disk(a).superblock?.member == 100)
    }

    @Test("takes a member that is one change behind, when no other one has dropped it")
    func oneBehind() throws {
        addMembers(events: [9, 8], states: ["AA", "AA"])
        try up([a, b])
        #expect(isAssembled("/dev/nbd1"))
        #expect(!machine.now.runs.contains("wipefs --all /dev/nbd1"))
    }

    /// The third member was away, came back, and the second one went before the third had all data again.
    @Test("begins when a member has dropped another one, whose data a third one has")
    func goneInTurn() throws {
        addMembers(events: [9, 6, 9], states: ["A.A", "AA.", "A.A"], times: [3, 2, 3])
        try up([a, b, "nbd://c"])
        #expect(!isAssembled("/dev/nbd1"))
        #expect(machine.now.runs.contains("wipefs --all /dev/nbd1"))
        #expect(machine.disk(a).superblock?.member == 100)
        #expect(machine.disk("nbd://c").superblock?.member == 102)
    }

    /// A spare may have the largest count, but it has no data.
    @Test("does not continue with a spare")
    func spare() throws {
        addMembers(events: [9, 8], states: ["AA", "AA"])
        machine.change { $0.disks[0].superblock?.place = nil }
        try up([a, b])
        #expect(isAssembled("/dev/nbd1"))
        #expect(machine.disk(b).superblock?.member == 101)
    }

    @Test(
        "does not begin when each of two members was used without the other",
        arguments: [
            ([9, 4], ["A.", ".A"], [2, 1]), ([9, 9], ["A.", ".A"], [1, 1]),
            // The first one was used alone, then the second one, then the first one with a new disk in the second
            // one's place; the second or the first one has seen more changes.
            ([9, 4], ["AA", ".A"], [2, 1]), ([4, 9], ["AA", ".A"], [2, 1]),
        ])
    func twoHistories(events: [Int], states: [String], times: [Int]) throws {
        addMembers(events: events, states: states, times: times)
        expectRefusal("were each used without the other") { try up([a, b]) }
        #expect(!machine.now.runs.contains { $0.contains("--assemble") || $0.contains("wipefs") })
        #expect(machine.disk(a).superblock?.member == 100)
        #expect(machine.disk(b).superblock?.member == 101)
        expectNothing()
    }

    @Test("does not begin when mdadm leaves a member with the newest data out")
    func newestLeftOut() throws {
        addMembers(events: [9, 9], states: ["AA", "AA"])
        machine.change { $0.leftOut = [NBDDevice(index: 1)] }
        expectRefusal("without nbd://b, which has its newest data") { try up([a, b]) }
        #expect(!machine.now.runs.contains { $0.contains("--readwrite") || $0.contains("wipefs") })
        #expect(machine.disk(b).superblock?.member == 101)
        expectNothing()
    }

    // MARK: - Replacing

    @Test("does not replace a member by one that is a member already")
    func memberAlready() throws {
        machine.addDisk(a)
        machine.addDisk(b)
        try up([a, b])
        let runs = machine.now.runs.count
        expectRefusal("nbd://b is a member of r already") { try replace(a, with: b) }
        #expect(machine.now.attached.count == 2)
        #expect(!machine.now.runs.dropFirst(runs).contains { $0.hasPrefix("wipefs") })
    }

    @Test("does not replace a member by a working one under another name")
    func memberUnderAnotherName() throws {
        machine.addDisk(a)
        machine.addDisk(b, "nbd://other")
        try up([a, b])
        let before = directory.current("r")
        expectRefusal("/dev/nbd1 and nbd://other are the same disk") {
            try replace(a, with: "nbd://other")
        }
        #expect(machine.disk(b).superblock != nil)
        #expect(Set(machine.now.attached.values) == [a, b])
        #expect(directory.current("r")?.members == before?.members)
    }

    @Test("has the members that it had when a new one cannot be attached")
    func replacementUnreachable() throws {
        machine.addDisk(a)
        machine.addDisk(b)
        try up([a, b])
        let before = directory.current("r")
        expectRefusal("no server at nbd://c") { try replace(a, with: "nbd://c") }
        #expect(directory.current("r")?.members == before?.members)
    }

    @Test("has the members that it had when a new one fails while it is filled")
    func replacementFails() throws {
        for name in [a, b, "nbd://c"] { machine.addDisk(name) }
        try up([a, b])
        let before = directory.current("r")
        machine.change { $0.isNewFaulty = true }
        expectRefusal("nbd://c has failed while it was filled") { try replace(a, with: "nbd://c") }
        #expect(directory.current("r")?.members == before?.members)
        #expect(Set(machine.now.attached.values) == [a, b])
    }

    @Test("has a new member in the place of the old one")
    func replaced() throws {
        for name in [a, b, "nbd://c"] { machine.addDisk(name) }
        try up([a, b])
        try replace(a, with: "nbd://c")
        #expect(
            machine.now.runs.contains { run in
                run.hasPrefix("mdadm --manage /dev/md127 --replace /dev/nbd0 --with /dev/nbd2")
            })
        #expect(directory.current("r")?.members.map(\.text) == [b, "nbd://c"])
        #expect(Set(machine.now.attached.values) == [b, "nbd://c"])
    }

    @Test("replaces a member although another one does not reply")
    func silentMember() throws {
        for name in [a, b, "nbd://c"] { machine.addDisk(name) }
        try up([a, b])
        machine.change { $0.disks[1].isReadable = false }
        // What the new one holds is compared with the members that reply.
        machine.change { state in
            state.disks[2].superblock = FakeDisk.Superblock(
                array: state.arrayNumber, level: 1, memberCount: 2, member: 100, events: 1,
                place: 0, states: "AA")
        }
        try replace(a, with: "nbd://c")
        #expect(directory.current("r")?.members.map(\.text) == [b, "nbd://c"])
        machine.addDisk("nbd://d")
        try replace("nbd://c", with: "nbd://d")
        #expect(directory.current("r")?.members.map(\.text) == [b, "nbd://d"])
    }

    @Test(
        "lets a member in with what it held only if it was not used without the others",
        arguments: [("AA", 0, true), (".A", 0, false), ("AA", 1, false)])
    func memory(states: String, time: Int, isRight: Bool) throws {
        machine.addDisk(a)
        try up(["missing", a])
        let superblock = FakeDisk.Superblock(
            array: machine.now.arrayNumber, level: 1, memberCount: 2, member: 100, events: 1,
            place: 1, states: states, updateTime: time)
        machine.addDisk(b, disk: FakeDisk(superblock: superblock))
        if isRight {
            try replace("missing", with: b, hasMemory: true)
            #expect(machine.now.runs.contains("mdadm --manage /dev/md127 --re-add /dev/nbd1"))
            return
        }
        expectRefusal("without --re-add, `pool replace` overwrites all of it") {
            try replace("missing", with: b, hasMemory: true)
        }
        #expect(!machine.now.runs.contains { $0.contains("--re-add") })
        #expect(machine.disk(b).superblock == superblock)
        #expect(machine.now.attached.count == 1)
        // Without --re-add it is overwritten.
        try replace("missing", with: b)
        #expect(machine.now.runs.contains("wipefs --all /dev/nbd1"))
    }

    // MARK: - Ending

    @Test("stays as it is when something else uses the array")
    func inUse() throws {
        machine.addDisk(a)
        machine.addDisk(b)
        try up([a, b])
        var record = try #require(directory.current("r"))
        record.mountPoint = temporary.path
        machine.change { $0.use = "it is mounted elsewhere" }
        let runs = machine.now.runs.count
        expectRefusal("it is mounted elsewhere") {
            try PoolDown(directory: directory, machine: machine).takeDown(record)
        }
        #expect(machine.now.runs.count == runs)
        #expect(machine.now.attached.count == 2)
        #expect(directory.current("r") != nil)
    }

    @Test(
        "leaves no lock when its start was killed before it had a record, and keeps one that is held"
    )
    func lock() throws {
        // What a killed process leaves: the file, without the kernel's lock.
        let file = temporary.file("r.pool.lock")
        try TextFile.replace(file, with: "1\n")
        try TextFile.replace(temporary.file("pool-devices.lock"), with: "1\n")
        do {
            let held = try directory.lock("s")
            directory.removeLock(of: "s")
            #expect(exists(temporary.file("s.pool.lock")))
            extendLifetime(held)
        }
        directory.removeLock(of: "r")
        #expect(!exists(file))
        // A name that leads out of the directory, and one without a lock.
        directory.removeLock(of: "../r")
        directory.removeLock(of: "none")
        #expect(!exists(temporary.path))
    }

    @Test(
        "ends processes of this user only, as anyone can claim to work for it",
        .enabled(if: geteuid() == 0, "only root can have processes of others"))
    func processes() throws {
        let name = "test\(getpid())"
        let mark = [(name: "RAMDISK_NBD_POOL", value: name)]
        let own = try ChildProcess(command: ["sleep", "60"], environment: mark)
        let other = try ChildProcess(
            command: ["setpriv", "--reuid=65534", "--clear-groups", "sleep", "60"],
            environment: mark)
        defer {
            for process in [own, other] {
                process.signal(SIGKILL)
                _ = try? process.wait()
            }
        }
        // Until setpriv has become sleep, it is a process of root.
        for _ in 0..<1_000 where (try? FileStatus.of("/proc/\(other.pid)"))?.uid != 65_534 {
            usleep(10_000)
        }
        #expect((try? FileStatus.of("/proc/\(other.pid)"))?.uid == 65_534)
        #expect(PoolProcesses.all(of: name).map(\.pid) == [own.pid])
    }

    // MARK: - Services

    @Test("has a member for each server of a service, in the service's place")
    func service() throws {
        machine.addDisk("nbd://one.example:7/x")
        machine.addDisk("nbd://two.example/x")
        machine.change { state in
            state.services["_nbd._tcp.example"] = [
                ServiceRecord(priority: 0, weight: 0, port: 7, target: "one.example"),
                ServiceRecord(priority: 1, weight: 0, port: 10809, target: "two.example"),
            ]
        }
        try up(["nbd+srv://_nbd._tcp.example/x"])
        #expect(
            directory.current("r")?.members.map(\.text) == [
                "nbd://one.example:7/x", "nbd://two.example/x",
            ])
    }

    /// The look-up of a service may take long.
    @Test(
        "ends with a signal that comes while its services are looked up, before it makes anything")
    func stopDuringLookup() throws {
        let stop = try SupervisorMailbox()
        let path = temporary.path
        let isThere = Atomic<Bool>(true)
        Directory.removeEmpty(path)
        machine.change { state in
            state.services["_nbd._tcp.example"] = [
                ServiceRecord(priority: 0, weight: 0, port: 10809, target: "one.example")
            ]
            state.beforeLookup = {
                isThere.store(exists(path), ordering: .relaxed)
                stop.request(signal: SIGTERM)
            }
        }
        expectRefusal("signal 15 interrupted the start") {
            try up(["nbd+srv://_nbd._tcp.example", "missing"], stop: stop)
        }
        let wasThere = isThere.load(ordering: .relaxed)
        #expect(!wasThere)
        #expect(!exists(path))
    }

    @Test("does not begin without the servers of a service, or with a member twice")
    func wrongService() throws {
        machine.addDisk("nbd://one.example")
        expectRefusal("cannot look nbd+srv://_x.example up: no such name exists") {
            try up(["nbd+srv://_x.example"])
        }
        machine.change { state in
            state.services["_nbd._tcp.example"] = [
                ServiceRecord(priority: 0, weight: 0, port: 10809, target: "one.example")
            ]
        }
        expectRefusal("2 to 32 members, not 1") { try up(["nbd+srv://_nbd._tcp.example"]) }
        expectRefusal("nbd://one.example is given twice") {
            try up(["nbd+srv://_nbd._tcp.example", "nbd://one.example"])
        }
        expectNothing()
    }

    @Test(
        "has a service only of a name that DNS can have",
        arguments: [
            ("nbd+srv://_nbd._tcp.example", true), ("nbd+srv://_nbd._tcp.example/a%20b", true),
            ("nbd+srv://example.org", false), ("nbd+srv://_nbd", false),
            ("nbd+srv://_nbd._tcp.example:10809", false), ("nbd+srv://_nbd..example", false),
            ("nbd+srv://_nbd._tcp.example?x=1", false), ("nbd+srv://_nbd._tcp.example/a?x", false),
            ("nbd+srv://_nbd." + String(repeating: "a", count: 64), false),
            ("nbd+srv://_nbd._tcp.example/%zz", false), ("nbd://_nbd._tcp.example", false),
        ])
    func serviceNames(text: String, isService: Bool) {
        #expect((ServiceURI(text) != nil) == isService)
        if isService { #expect(ServiceURI(text)?.description == text) }
    }
}
