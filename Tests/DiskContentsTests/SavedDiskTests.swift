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
        let directory = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: .min ... .max))"
        _ = try Directory.make(directory)
        defer {
            for name in Directory.names(in: directory) {
                Directory.removeFile("\(directory)/\(name)")
            }
            Directory.removeEmpty(directory)
        }
        let disk = try RamDisk(size: 1 << 20, isSparse: true)
        let saved = try SavedDisk(
            path: "\(directory)/image", every: nil,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try saved.restore(disk, export: "")
        let fileSystem = FakeFileSystem()
        saved.freeze { () throws(Failure) in try fileSystem.freeze() }
        let threads = try (0..<4).map { number in
            try Thread(name: "save") {
                _ = try? number == 0 ? saved.save() : saved.save(to: "\(directory)/\(number)")
            }
        }
        for thread in threads { thread.join() }
        #expect(fileSystem.counts == .init(total: 4, current: 0, most: 1))
        #expect(saved.stats.generation == 1)
        #expect((1...3).allSatisfy { Directory.names(in: directory).contains("\($0)") })
    }
}
