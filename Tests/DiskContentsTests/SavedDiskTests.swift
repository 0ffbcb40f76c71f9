import Glibc
import LinuxHost
import LinuxIO
import Logging
import NBDServer
import Observability
import ProgramSupport
import Synchronization
import Testing

@testable import DiskContents

@Suite("A disk with an image")
struct SavedDiskTests {
    /// A file system that counts how often it is frozen.
    private final class FakeFileSystem: Sendable {
        struct Counts: Equatable {
            var total = 0
            var current = 0
            var most = 0
        }

        private let state = Mutex(Counts())
        var counts: Counts { state.withLock { $0 } }

        func freeze() throws(Failure) -> @Sendable () -> Void {
            state.withLock { counts in
                counts.total += 1
                counts.current += 1
                counts.most = max(counts.most, counts.current)
            }
            // Long enough for the other threads to come this far.
            Thread.sleep(milliseconds: 50)
            return { self.state.withLock { $0.current -= 1 } }
        }
    }

    @Test("is frozen for one save at a time: no save thaws what another one was told is frozen")
    func oneFreeze() throws {
        let directory = try ImageDirectory()
        let disk = try RamDisk(size: 1 << 20, isSparse: true)
        let saved = try savedDisk(directory.file("image"))
        try saved.restore(disk, export: "")
        let fileSystem = FakeFileSystem()
        saved.freeze { () throws(Failure) in try fileSystem.freeze() }
        let threads = try (0..<4).map { number in
            try Thread(name: "save") {
                _ = try? number == 0 ? saved.save() : saved.save(to: directory.file("\(number)"))
            }
        }
        for thread in threads { thread.join() }
        #expect(fileSystem.counts == .init(total: 4, current: 0, most: 1))
        #expect(saved.stats.generation == 1)
        #expect((1...3).allSatisfy { Directory.names(in: directory.path).contains("\($0)") })
    }

    // MARK: - Late restores

    /// Saves a disk of 4 MiB whose bytes are all 7.
    private func saveImage(_ path: String) throws {
        let disk = try RamDisk(size: 4 << 20)
        let saved = try savedDisk(path)
        try saved.restore(disk, export: "")
        try disk.write([UInt8](repeating: 7, count: 4 << 20), at: 0)
        try saved.save()
    }

    @Test("lets go of its image when all of it is restored, also if nobody waits for that")
    func released() throws {
        let directory = try ImageDirectory()
        let path = directory.file("image")
        try saveImage(path)
        let saved = try savedDisk(path)
        try saved.restore(RamDisk(filledLate: 4 << 20, isSparse: false), export: "")
        for _ in 0..<1000 where saved.stats.restore != nil || OpenFiles.count(of: path) > 0 {
            Thread.sleep(milliseconds: 10)
        }
        #expect(saved.stats.restore == nil)
        #expect(OpenFiles.count(of: path) == 0)
    }

    @Test("whose image is damaged does not keep commands for another disk waiting")
    func commandsForOthers() throws {
        let directory = try ImageDirectory()
        let (disks, saved) = try pair(in: directory) { path in
            try saveImage(path)
            let page = try MemoryMapping(privateBytes: 4096)
            try DurableFile(updating: path).write(page.region, at: 1 << 20)
        }
        let contents = try serve(disks, saved)
        let own = #expect(throws: ControlError.self) {
            _ = try contents.commands.perform(
                ControlCommand("POST", "/snapshots", ["disk": "a", "name": "s"]))
        }
        #expect(own?.sentence.contains("is not as it was saved") == true)
        let command = ControlCommand("POST", "/snapshots", ["disk": "b", "name": "s"])
        #expect(try contents.commands.perform(command)?.contains("b@s") == true)
        // Without a name, the first disk: it is not restored.
        #expect(throws: ControlError.self) {
            _ = try contents.commands.perform(ControlCommand("POST", "/snapshots", ["name": "t"]))
        }
    }

    @Test("that cannot be saved at the end does not keep another one from being saved")
    func oneUnsaved() throws {
        let directory = try ImageDirectory()
        let (disks, saved) = try pair(in: directory) { path in try saveImage(path) }
        let contents = try serve(disks, saved)
        try disks[0].write([1], at: 0)
        try disks[1].write([2], at: 0)
        directory.rename("a", to: "elsewhere")
        let failure = #expect(throws: Failure.self) { try contents.save() }
        #expect(failure?.sentence.contains(directory.file("a/image")) == true)
        #expect(saved.map(\.stats.saves) == [0, 1])
        directory.rename("elsewhere", to: "a")
        try contents.save()
        #expect(saved.map(\.stats.saves) == [1, 2])
    }

    /// Makes the disks a, whose image `prepare` makes, and b, which has no image yet, in folders of these names.
    private func pair(
        in directory: ImageDirectory, prepare: (String) throws -> Void
    ) throws -> (disks: [RamDisk], saved: [SavedDisk]) {
        let disks = [
            try RamDisk(filledLate: 4 << 20, isSparse: false), try RamDisk(size: 1 << 20),
        ]
        let saved = try zip(["a", "b"], disks).map { name, disk in
            _ = try Directory.make(directory.file(name))
            let path = directory.file("\(name)/image")
            if name == "a" { try prepare(path) }
            let saved = try savedDisk(path)
            try saved.restore(disk, export: name)
            return saved
        }
        return (disks, saved)
    }

    private func serve(_ disks: [RamDisk], _ saved: [SavedDisk]) throws -> ServedContents {
        let server = try Server(
            exports: zip(["a", "b"], disks).map { Export(name: $0, disk: $1) })
        return ServedContents(of: server, saved: saved, logger: silentLogger)
    }

    private func savedDisk(_ path: String) throws -> SavedDisk {
        try SavedDisk(path: path, every: nil, logger: silentLogger)
    }

    private var silentLogger: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

/// A directory for images, which goes with this object.
private final class ImageDirectory: Sendable {
    let path = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"

    init() throws { _ = try Directory.make(path) }

    deinit { Self.remove(path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func rename(_ name: String, to other: String) {
        let result = unsafe Glibc.rename(file(name), file(other))
        #expect(result == 0)
    }

    private static func remove(_ path: String) {
        for name in Directory.names(in: path) {
            let file = "\(path)/\(name)"
            if Directory.exists(file) { remove(file) } else { Directory.removeFile(file) }
        }
        Directory.removeEmpty(path)
    }
}

/// The descriptors of this process.
private enum OpenFiles {
    /// Returns how many are of a file.
    static func count(of path: String) -> Int {
        Directory.names(in: "/proc/self/fd").count { name in
            var bytes = [CChar](repeating: 0, count: 4096)
            let count = unsafe readlink("/proc/self/fd/\(name)", &bytes, bytes.count)
            return count > 0
                && String(decoding: bytes[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
                    == path
        }
    }
}
