import LinuxHost
import LinuxIO
import NBDServer
import Synchronization
import SystemPackage
import Testing

@testable import DiskImages

/// What a test does to the changes of a save, once it is armed.
final class Faults: Sendable {
    enum Fault: Sendable {
        /// Nothing; they are only recorded.
        case none
        /// From the change with this index on, none takes place, as after a crash. If that change is a write, its
        /// first `afterBytes` bytes are written; a negative number is counted from the end of the write.
        case crash(at: Int, afterBytes: Int?)
        /// The change with this index fails.
        case fail(at: Int, Errno)
    }

    /// A change, and the bytes that it writes.
    struct Change: Sendable {
        let effect: FileEffect
        let bytes: [UInt8]
    }

    private struct State {
        var fault: Fault?
        var changes: [Change] = []
    }

    private let state = Mutex(State())

    /// Begins to count and record changes.
    func arm(_ fault: Fault) { state.withLock { $0 = State(fault: fault) } }

    /// Lets all changes pass.
    func disarm() { state.withLock { $0.fault = nil } }

    /// The changes since it was armed, in order, also those that were prevented.
    var changes: [Change] { state.withLock { $0.changes } }

    var hook: EffectHook {
        EffectHook { effect, bytes in
            self.state.withLock { state in
                guard let fault = state.fault else { return .perform }
                let index = state.changes.count
                // A write is known by its bytes; other changes come without.
                state.changes.append(Change(effect: effect, bytes: bytes?.bytes ?? []))
                switch fault {
                case .none: return .perform
                case .fail(let at, let error): return index == at ? .fail(error) : .perform
                case .crash(let at, let count):
                    if index < at { return .perform }
                    guard index == at, let bytes, let count else { return .fail(.ioError) }
                    return .performFirst(count < 0 ? max(0, bytes.count + count) : count)
                }
            }
        }
    }
}

/// A disk, a first save and changes for a second one.
enum Scenario: CaseIterable, Sendable {
    /// There is no save yet.
    case firstFull
    case secondFull
    case incremental
    /// With changed, new and zeroed pages in several chunks.
    case scattered

    static let size: UInt64 = 1 << 20 + 5000

    /// Runs the first save, arms the faults and runs the second one; returns the disk before and after the changes,
    /// and what the second save returned or threw. The object is gone then, unless it is passed on.
    func run(
        _ fixture: borrowing Fixture, _ faults: Faults, _ fault: Faults.Fault,
        then body: (DiskImage, RamDisk, [Range<UInt64>]) throws -> Void = { _, _, _ in }
    ) throws -> (before: Contents?, after: Contents, outcome: Result<SaveResult, DiskImageError>) {
        let disk = try RamDisk(size: Self.size, isSparse: true)
        let image = try DiskImage(path: fixture.path, hook: faults.hook)
        var before: Contents?
        let pages = [0, 1, 2, 3, 100, 200, 201, 202, 254, 255, 256] + Array(20..<40)
        _ = try disk.fill(pages, with: 1)
        try disk.write([1], at: Self.size - 1)
        if self != .firstFull {
            _ = try image.save(disk)
            before = try disk.bytes
        }
        var changes = try disk.fill([2, 256], with: 2)
        if self == .scattered {
            changes += try disk.fill([7, 150], with: 3)
            changes.append(try disk.clear(200 * 4096..<202 * 4096))
            changes.append(try disk.clear(257 * 4096..<Self.size))
        }
        faults.arm(fault)
        let isFull = self == .firstFull || self == .secondFull
        let outcome = Result { () throws(DiskImageError) in
            try image.save(disk, changes: isFull ? nil : changes)
        }
        try body(image, disk, changes)
        return (before, try disk.bytes, outcome)
    }
}

@Suite("A save that is cut off")
struct CrashTests {
    /// Saves, restores and compares, to see that the files can still be used.
    private func expectUse(of fixture: borrowing Fixture) throws {
        let disk = try RamDisk(size: Scenario.size)
        _ = try disk.fill([9], with: 5)
        do {
            let image = try DiskImage(path: fixture.path)
            #expect(try image.save(disk).kind == .full)
        }
        #expect(try fixture.restored(size: Scenario.size) == disk.bytes)
        #expect(fixture.names == Fixture.cleanNames)
    }

    @Test(
        "at any change to a file leaves the save before or the new one",
        arguments: Scenario.allCases)
    func crashes(scenario: Scenario) throws {
        var index = 0
        var sawBefore = false
        var sawAfter = false
        search: while true {
            for count in [nil, 41, -1] as [Int?] {
                let fixture = try Fixture()
                let faults = Faults()
                let run = try scenario.run(
                    fixture, faults, .crash(at: index, afterBytes: count))
                let found = try fixture.restored(size: Scenario.size)
                #expect(found == run.before || found == run.after, "at \(index), \(count ?? -2)")
                #expect(found == nil || fixture.names == Fixture.cleanNames)
                guard faults.changes.count > index else {
                    // The save was not cut off any more.
                    _ = try run.outcome.get()
                    #expect(found == run.after)
                    break search
                }
                sawBefore = sawBefore || found == run.before
                sawAfter = sawAfter || found == run.after
                if count == nil { try expectUse(of: fixture) }
                if faults.changes[index].bytes.isEmpty { break }
            }
            index += 1
        }
        #expect(sawBefore && sawAfter)
        #expect(index >= 10)
    }

    @Test(
        "and whose recovery is cut off too leaves the save before or the new one",
        arguments: Scenario.allCases)
    func crashesInRecovery(scenario: Scenario) throws {
        var index = 0
        var recoveryChanges = 0
        while true {
            var wasCutOff = true
            var recoveryIndex = 0
            while wasCutOff {
                let fixture = try Fixture()
                let faults = Faults()
                let run = try scenario.run(
                    fixture, faults, .crash(at: index, afterBytes: nil))
                if faults.changes.count <= index { break }
                faults.arm(.crash(at: recoveryIndex, afterBytes: 10))
                _ = try? DiskImage(path: fixture.path, hook: faults.hook)
                wasCutOff = faults.changes.count > recoveryIndex
                if wasCutOff { recoveryChanges += 1 }
                let found = try fixture.restored(size: Scenario.size)
                #expect(
                    found == run.before || found == run.after, "at \(index), \(recoveryIndex)")
                recoveryIndex += 1
            }
            if wasCutOff { break }
            index += 1
        }
        #expect(recoveryChanges >= 5)
    }

    @Test("because a call fails leaves no file of its own", arguments: Scenario.allCases)
    func errors(scenario: Scenario) throws {
        var index = 0
        while true {
            let fixture = try Fixture()
            let faults = Faults()
            let run = try scenario.run(fixture, faults, .fail(at: index, .noSpace))
            let names = fixture.names
            let found = try fixture.restored(size: Scenario.size)
            guard faults.changes.count > index else {
                _ = try run.outcome.get()
                #expect(found == run.after)
                break
            }
            switch run.outcome {
            case .success: Issue.record("the error at \(index) was lost")
            case .failure(.system(_, let file, .noSpace)):
                #expect(file.hasPrefix(fixture.directory))
            case .failure(.unfinished(let file, _)): #expect(file == fixture.path)
            case .failure(let error): Issue.record("\(error)")
            }
            // Only a save that was complete may leave files for the next one to finish.
            #expect(!names.contains("disk.img.new"))
            if found != run.after {
                #expect(found == run.before)
                #expect(names == (run.before == nil ? [] : Fixture.cleanNames), "at \(index)")
            }
            index += 1
        }
        #expect(index >= 10)
    }

    @Test("because a call fails can be repeated", arguments: Scenario.allCases)
    func repetition(scenario: Scenario) throws {
        var index = 0
        var isOver = false
        while !isOver {
            let fixture = try Fixture()
            let path = fixture.path
            let faults = Faults()
            let run = try scenario.run(fixture, faults, .fail(at: index, .noSpace)) {
                (image, disk, changes) in
                isOver = faults.changes.count <= index
                faults.disarm()
                let result = try image.save(disk, changes: changes)
                // The object still knows what the image holds, unless there was no image.
                if scenario != .firstFull { #expect(result.kind == .incremental) }
                #expect(try contents(of: path) == disk.bytes)
            }
            #expect(fixture.names == Fixture.cleanNames)
            #expect(try fixture.restored(size: Scenario.size) == run.after)
            index += 1
        }
        #expect(index >= 10)
    }

    @Test(
        "by a power failure leaves the save before or the new one, whatever had not been synced",
        arguments: Scenario.allCases)
    func powerFailures(scenario: Scenario) throws {
        let fixture = try Fixture()
        let faults = Faults()
        // The first run only tells what is there before the second save.
        let first = try scenario.run(fixture, faults, .crash(at: 0, afterBytes: nil))
        for name in fixture.names where !Fixture.cleanNames.contains(name) {
            Issue.record("\(name) is there before the save")
        }
        var start: [ImageFile: [UInt8]] = [:]
        for file in [ImageFile.image, .state] where first.before != nil {
            start[file] = try contents(of: fixture.path + file.rawValue).bytes
        }
        let other = try Fixture()
        let record = Faults()
        let run = try scenario.run(other, record, .none)
        try tryPowerFailures(from: start, during: record.changes) { found, isOver in
            // What a save has returned is never lost.
            found == run.after || !isOver && found == run.before
        }
    }

    @Test(
        "and whose recovery is cut off by a power failure leaves the save before or the new one",
        arguments: [Scenario.secondFull, .scattered])
    func powerFailuresInRecovery(scenario: Scenario) throws {
        var index = 0
        var count = 0
        while true {
            let fixture = try Fixture()
            let faults = Faults()
            let run = try scenario.run(fixture, faults, .crash(at: index, afterBytes: nil))
            guard faults.changes.count > index else { break }
            index += 1
            var start: [ImageFile: [UInt8]] = [:]
            for file in ImageFile.allCases
            where try FileStatus.of(fixture.path + file.rawValue) != nil {
                start[file] = try contents(of: fixture.path + file.rawValue).bytes
            }
            faults.arm(.none)
            do { _ = try DiskImage(path: fixture.path, hook: faults.hook) }
            // Two changes only remove what does not count, with nothing else beside it.
            guard faults.changes.count > 2 else { continue }
            let after = try fixture.restored(size: Scenario.size)
            count += 1
            try tryPowerFailures(from: start, during: faults.changes) { found, _ in
                found == after && (found == run.before || found == run.after)
            }
        }
        #expect(count >= 1)
    }

    /// Lets the power fail after each number of changes, restores from each state of the files that is possible
    /// then, and checks what is found, also with regard to whether all changes had been made.
    private func tryPowerFailures(
        from start: [ImageFile: [UInt8]], during changes: [Faults.Change],
        _ isRight: (Contents?, Bool) -> Bool
    ) throws {
        for count in 0...changes.count {
            var model = ModelDevice(start)
            for change in changes.prefix(count) { model.apply(change) }
            for files in model.outcomes {
                let fixture = try Fixture()
                for (file, bytes) in files {
                    try replace(fixture.path + file.rawValue, with: bytes)
                }
                let found = try fixture.restored(size: Scenario.size)
                #expect(
                    isRight(found, count == changes.count),
                    "after \(count) changes, with \(files.keys.map(\.rawValue).sorted())")
            }
        }
    }
}

/// A device whose power may fail: it knows what has been synced. It keeps no order: of what has not been synced,
/// any change may be there without the ones before it.
struct ModelDevice {
    private struct File {
        var durable: [UInt8]
        var pending: [Faults.Change] = []
    }

    /// A change to names, and the number of the file that it is about.
    private struct NameChange {
        let effect: FileEffect
        let number: Int

        func apply(to names: inout [ImageFile: Int]) {
            switch effect {
            case .create(let file): names[file] = number
            case .rename(let file, let other):
                if names[file] == number { names[file] = nil }
                names[other] = number
            case .remove(let file): if names[file] == number { names[file] = nil }
            default: break
            }
        }
    }

    private var files: [File] = []
    private var names: [ImageFile: Int] = [:]
    private var durableNames: [ImageFile: Int] = [:]
    private var pendingNames: [NameChange] = []

    /// A device on which everything is synced.
    init(_ contents: [ImageFile: [UInt8]]) {
        for (file, bytes) in contents {
            names[file] = files.count
            files.append(File(durable: bytes))
        }
        durableNames = names
    }

    mutating func apply(_ change: Faults.Change) {
        switch change.effect {
        case .create:
            changeNames(change.effect, of: files.count)
            files.append(File(durable: []))
        case .rename(let file, _), .remove(let file):
            if let number = names[file] { changeNames(change.effect, of: number) }
        case .write(let file, _, _), .resize(let file, _), .punchHole(let file, _):
            if let number = names[file] { files[number].pending.append(change) }
        case .sync(let file):
            guard let number = names[file] else { return }
            let all = Array(files[number].pending.indices)
            files[number] = File(durable: Self.bytes(of: files[number], with: all))
        case .syncDirectory:
            durableNames = names
            pendingNames = []
        case .allocate: break
        }
    }

    private mutating func changeNames(_ effect: FileEffect, of number: Int) {
        let change = NameChange(effect: effect, number: number)
        change.apply(to: &names)
        pendingNames.append(change)
    }

    private static func bytes(of file: File, with chosen: [Int]) -> [UInt8] {
        var bytes = file.durable
        func grow(to count: Int) {
            if bytes.count < count { bytes += [UInt8](repeating: 0, count: count - bytes.count) }
        }
        for index in chosen {
            let change = file.pending[index]
            switch change.effect {
            case .resize(_, let size):
                grow(to: Int(size))
                bytes.removeLast(bytes.count - Int(size))
            case .write(_, let offset, let count):
                grow(to: Int(offset) + count)
                bytes.replaceSubrange(Int(offset)..<Int(offset) + count, with: change.bytes)
            case .punchHole(_, let range):
                for offset in range { bytes[Int(offset)] = 0 }
            default: break
            }
        }
        return bytes
    }

    /// What may be there after a failure: any of the changes to names since the directory was synced, and all, none,
    /// half or one of the changes to each file since it was.
    var outcomes: [[ImageFile: [UInt8]]] {
        let choices: [(Int) -> [Int]] = [
            { _ in [] }, { Array(0..<$0) }, { Array(0..<$0 / 2) }, { $0 > 0 ? [$0 - 1] : [] },
            { Array($0 / 2..<$0) },
        ]
        var outcomes: [[ImageFile: [UInt8]]] = []
        for subset in 0..<1 << pendingNames.count {
            var present = durableNames
            for (index, change) in pendingNames.enumerated() where subset >> index & 1 == 1 {
                change.apply(to: &present)
            }
            let isSynced = present.values.allSatisfy { files[$0].pending.isEmpty }
            for choice in choices.prefix(isSynced ? 1 : choices.count) {
                outcomes.append(
                    present.mapValues { number in
                        Self.bytes(of: files[number], with: choice(files[number].pending.count))
                    })
            }
        }
        return outcomes
    }
}
