import Glibc
import LinuxHost
import LinuxIO
import NBDServer
import SystemPackage
import Testing

@testable import DiskImages

@Suite("A damaged disk image")
struct DamageTests {
    private let size: UInt64 = 3 << 20

    /// Saves a disk, with a second, incremental save.
    private func save(to fixture: borrowing Fixture) throws {
        let disk = try RamDisk(size: size, isSparse: true)
        _ = try disk.fill(Array(0..<10) + [700], with: 7)
        let image = try DiskImage(path: fixture.path)
        _ = try image.save(disk)
        _ = try image.save(disk, changes: disk.fill([5], with: 8))
    }

    /// Changes the bytes of a file.
    private func edit(_ path: String, _ change: (inout [UInt8]) -> Void) throws {
        var bytes = try contents(of: path).bytes
        change(&bytes)
        try replace(path, with: bytes)
    }

    @Test("with a wrong byte is refused, wherever it is", arguments: [0, 40_000, 1_500_000])
    func wrongByte(offset: Int) throws {
        let fixture = try Fixture()
        try save(to: fixture)
        try edit(fixture.path) { $0[offset] ^= 1 }
        let error = DiskImageError.changedContents(
            path: fixture.path, offset: UInt64(offset / (1 << 20)) << 20)
        #expect(throws: error) { try fixture.restored(size: size) }
        #expect("\(error)".contains("delete \(fixture.path).state to accept the image"))
        // The advice works.
        Directory.removeFile(fixture.path + ".state")
        #expect(try fixture.restored(size: size) == contents(of: fixture.path))
    }

    @Test("whose data has become a hole is refused")
    func lostData() throws {
        let fixture = try Fixture()
        try save(to: fixture)
        try DurableFile(updating: fixture.path).punchHole(2 << 20..<3 << 20)
        #expect(throws: DiskImageError.changedContents(path: fixture.path, offset: 2 << 20)) {
            try fixture.restored(size: size)
        }
    }

    @Test("in which two pages have changed places is refused")
    func swappedPages() throws {
        let fixture = try Fixture()
        try save(to: fixture)
        try edit(fixture.path) { bytes in
            let page = Array(bytes[5 * 4096..<6 * 4096])
            bytes.replaceSubrange(5 * 4096..<6 * 4096, with: bytes[6 * 4096..<7 * 4096])
            bytes.replaceSubrange(6 * 4096..<7 * 4096, with: page)
        }
        #expect(throws: DiskImageError.changedContents(path: fixture.path, offset: 0)) {
            try fixture.restored(size: size)
        }
    }

    @Test("with the wrong length is refused", arguments: [0, 4096, 4 << 20])
    func wrongLength(length: UInt64) throws {
        let fixture = try Fixture()
        try save(to: fixture)
        try DurableFile(updating: fixture.path).resize(to: length)
        let error = DiskImageError.wrongLength(
            path: fixture.path, found: length, expected: size)
        #expect(throws: error) { try fixture.restored(size: 8 << 20) }
        #expect("\(error)".contains("\(fixture.path) has \(length) bytes"))
    }

    @Test("whose state has a wrong byte is refused")
    func damagedState() throws {
        let fixture = try Fixture()
        try save(to: fixture)
        let state = try contents(of: fixture.path + ".state").bytes
        for offset in state.indices {
            var bytes = state
            bytes[offset] ^= 4
            try replace(fixture.path + ".state", with: bytes)
            #expect(throws: DiskImageError.damagedState(path: fixture.path)) {
                try DiskImage(path: fixture.path)
            }
        }
    }

    @Test("whose state is shorter is refused", arguments: [0, 8, 63, 64, 90])
    func shortState(length: Int) throws {
        let fixture = try Fixture()
        try save(to: fixture)
        try edit(fixture.path + ".state") { $0 = Array($0.prefix(length)) }
        #expect(throws: DiskImageError.damagedState(path: fixture.path)) {
            try DiskImage(path: fixture.path)
        }
    }

    @Test("whose state leaves no number for the next save is refused")
    func lastGeneration() throws {
        let fixture = try Fixture()
        try save(to: fixture)
        try edit(fixture.path + ".state") { bytes in
            for index in 24..<32 { bytes[index] = 0xff }
            bytes.removeLast(8)
            bytes.append(littleEndian: Checksum.of(bytes))
        }
        #expect(throws: DiskImageError.damagedState(path: fixture.path)) {
            try DiskImage(path: fixture.path)
        }
    }

    @Test("whose state is longer than memory is refused")
    func longState() throws {
        let fixture = try Fixture()
        try save(to: fixture)
        #expect(unsafe truncate(fixture.path + ".state", 1 << 40) == 0)
        #expect(throws: DiskImageError.damagedState(path: fixture.path)) {
            try DiskImage(path: fixture.path)
        }
    }

    @Test("whose state is of another version is refused")
    func otherVersion() throws {
        let fixture = try Fixture()
        try save(to: fixture)
        try edit(fixture.path + ".state") { bytes in
            bytes[8] = 2
            bytes.removeLast(8)
            bytes.append(littleEndian: Checksum.of(bytes))
        }
        let error = DiskImageError.otherVersion(file: fixture.path + ".state", found: 2)
        #expect(throws: error) { try DiskImage(path: fixture.path) }
    }

    @Test("that is missing beside its state is refused, and no empty disk takes its place")
    func missingImage() throws {
        let fixture = try Fixture()
        try save(to: fixture)
        Directory.removeFile(fixture.path)
        #expect(throws: DiskImageError.imageMissing(path: fixture.path)) {
            try DiskImage(path: fixture.path)
        }
    }

    @Test("with the journal of another image is refused, and neither is changed")
    func strayJournal() throws {
        let fixture = try Fixture()
        try save(to: fixture)
        let before = try contents(of: fixture.path)
        var writer = try JournalWriter(of: ImageFiles(path: fixture.path), size: size, base: 7)
        try writer.appendZeroes(0..<4096)
        try writer.commit(ImageState(size: size, generation: 8, savedAt: 1, checksums: [:]))
        #expect(throws: DiskImageError.strayJournal(path: fixture.path)) {
            try DiskImage(path: fixture.path)
        }
        #expect(try contents(of: fixture.path) == before)
        #expect(fixture.names.contains("disk.img.journal"))
    }

    @Test("path is refused with the name of what is there")
    func paths() throws {
        let fixture = try Fixture()
        let path = fixture.path
        let missing = fixture.directory + "/missing"
        #expect(throws: DiskImageError.noDirectory(missing)) {
            try DiskImage(path: missing + "/disk.img")
        }
        _ = try Directory.make(path)
        #expect(throws: DiskImageError.notFile(path: path, .directory)) {
            try DiskImage(path: path)
        }
        Directory.removeEmpty(path)
        #expect(unsafe symlink("/dev/null", path) == 0)
        #expect(throws: DiskImageError.notFile(path: path, .symbolicLink)) {
            try DiskImage(path: path)
        }
        Directory.removeFile(path)
        #expect(throws: DiskImageError.notFile(path: "/dev/null", .device)) {
            try DiskImage(path: "/dev/null")
        }
        #expect("\(DiskImageError.notFile(path: path, .device))".hasPrefix("\(path) is a device"))
    }
}

@Suite("On a full file system, a disk image", .enabled(if: Program.canMount))
struct FullFileSystemTests {
    /// Saves a disk with 100 pages to a file system of 1 MiB, and changes the disk so that it does not fit.
    private func fill(_ pages: Range<Int>, incrementally: Bool) throws {
        let fixture = try Fixture()
        #expect(unsafe mount("none", fixture.directory, "tmpfs", 0, "size=1m") == 0)
        defer { #expect(unsafe umount2(fixture.directory, CInt(MNT_DETACH)) == 0) }
        let disk = try RamDisk(size: 8 << 20, isSparse: true)
        _ = try disk.fill(Array(0..<150), with: 3)
        do {
            let image = try DiskImage(path: fixture.path)
            _ = try image.save(disk)
            let before = try disk.bytes
            let changes = try disk.fill(Array(pages), with: 4)
            let error = #expect(throws: DiskImageError.self) {
                try image.save(disk, changes: incrementally ? changes : nil)
            }
            guard case .system(_, let file, .noSpace) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(file == fixture.path + (incrementally ? "" : ".new"))
            #expect("\(error!)".hasSuffix("free space on its file system"))
            #expect(fixture.names == Fixture.cleanNames)
            #expect(try contents(of: fixture.path) == before)
            #expect(try dataBytes(of: fixture.path) == 150 * 4096)
            _ = consume image
            #expect(try fixture.restored(size: 8 << 20) == before)
        }
        for name in Directory.names(in: fixture.directory) {
            Directory.removeFile("\(fixture.directory)/\(name)")
        }
    }

    @Test("cannot be locked when the file system is read-only, and the error says what to do")
    func readOnly() throws {
        let fixture = try Fixture()
        let directory = fixture.directory
        #expect(unsafe mount("none", directory, "tmpfs", UInt(MS_RDONLY), "") == 0)
        defer { #expect(unsafe umount2(directory, CInt(MNT_DETACH)) == 0) }
        let error = DiskImageError.system(
            action: "lock", file: fixture.path + ".lock", .readOnlyFileSystem)
        #expect(throws: error) { try DiskImage(path: fixture.path) }
        #expect("\(error)".hasSuffix("choose a directory that can be written to"))
    }

    @Test("keeps the last save when there is no room for a full one")
    func full() throws { try fill(150..<300, incrementally: false) }

    @Test("keeps the last save when there is room for the journal, but not for the image to grow")
    func incremental() throws { try fill(200..<270, incrementally: true) }
}

/// Other programs, and what this process may do.
enum Program {
    static func exists(_ name: String) -> Bool { unsafe access("/usr/bin/\(name)", X_OK) == 0 }

    /// Whether this process may mount file systems.
    static let canMount: Bool = {
        guard CurrentProcess.uid == 0, let fixture = try? Fixture(),
            unsafe mount("none", fixture.directory, "tmpfs", 0, "size=1m") == 0
        else { return false }
        return unsafe umount2(fixture.directory, CInt(MNT_DETACH)) == 0
    }()
}
