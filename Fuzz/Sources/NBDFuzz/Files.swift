import LinuxIO

@testable import DiskImages
@testable import NBDServer

// MARK: - Backings

/// Opens a file as a backing, and uses the disk in it, if it is one.
func fuzzBacking(_ input: [UInt8]) {
    var script = Script(input)
    let shape = script.byte()
    var header = BackingHeader(size: 64 << 10, pageSize: 4096)
    if shape & 1 != 0 { header.size = number(&script) }
    if shape & 2 != 0 { header.dataOffset = number(&script) }
    if shape & 4 != 0 { header.pageSize = number(&script) }
    var bytes = header.encoded
    bytes += BackingHeader.bytes(of: script.wide())
    if shape & 8 != 0 {
        let index = Int(script.byte()) % bytes.count
        bytes[index] ^= script.byte()
    }
    _ = try? BackingHeader(decoding: Array(bytes.prefix(Int(script.byte()))))
    bytes += checkpoints(&script)
    Scratch.remove(prefix: "backing")
    Scratch.write(bytes, to: "backing")
    let most: UInt64 = 1 << 40
    var length = (try? BackingHeader(decoding: bytes)).map { min($0.fileSize, most) } ?? 1 << 20
    if shape & 16 != 0 { length = number(&script) % most }
    Scratch.setLength(length, of: "backing")
    let location = BackingLocation(name: "backing", directory: Scratch.directory)
    let size = shape & 32 == 0 ? nil : UInt64(64 << 10)
    // Only a small one may take all of its memory.
    let isSparse = shape & 64 != 0 || length > 64 << 20
    guard let disk = try? RamDisk(backing: location, size: size, isSparse: isSparse) else { return }
    precondition(disk.size >= 4096 && disk.size < length, "a disk that is larger than its file")
    let last = disk.size - 512
    guard (try? disk.write([UInt8](repeating: 7, count: 512), at: last)) != nil,
        (try? disk.read(at: last, count: 512)) == [UInt8](repeating: 7, count: 512),
        (try? disk.read(at: 0, count: 4096)) != nil
    else { preconditionFailure("the disk cannot be used") }
    useCheckpoints(of: disk, &script)
    if shape & 128 == 0 { disk.keep() }
}

/// Returns what follows the state in a header: the names of checkpoints, and the bitmaps.
private func checkpoints(_ script: inout Script) -> [UInt8] {
    let shape = script.byte()
    guard shape & 1 != 0 else { return [] }
    var bytes = BackingHeader.bytes(of: UInt64(shape >> 1 & 3))
    bytes += BackingHeader.bytes(of: UInt64(script.byte()))
    for slot in 1...2 {
        bytes += [UInt8](repeating: 0, count: 1024 * slot - BackingHeader.namesOffset - bytes.count)
        var names = BackingHeader.bytes(of: shape & 8 == 0 ? 0x41d0_0000_0000_0000 : script.wide())
        let counts = (0..<2).map { _ in UInt64(script.byte()) }
        for count in counts { names += BackingHeader.bytes(of: count) }
        for _ in 0..<2 {
            names += [UInt8](repeating: script.byte(), count: CheckpointNames.longestName)
        }
        bytes += BackingHeader.bytes(of: BackingHeader.checksum(names[...])) + names
        if shape & 16 != 0 { bytes[bytes.count - 1] ^= script.byte() }
    }
    bytes += [UInt8](
        repeating: 0, count: BackingHeader.byteCount - BackingHeader.namesOffset - bytes.count)
    return bytes + [UInt8](repeating: script.byte(), count: 4096)
}

/// Makes a checkpoint on what was found, and commits or aborts it.
private func useCheckpoints(of disk: RamDisk, _ script: inout Script) {
    let choice = script.byte()
    let found = disk.foundMarker()
    precondition((found?.changedBytes ?? 0) <= disk.size + 4095, "more has changed than there is")
    var names = disk.checkpointNames
    guard choice & 1 == 0, let snapshot = try? disk.makeCheckpoint() else { return }
    names.aborted = "new"
    disk.store(names)
    if let found {
        var offset: UInt64 = 0
        while let change = snapshot.nextChange(since: found, from: offset) {
            precondition(change.upperBound > offset && change.upperBound <= disk.size, "a change")
            offset = change.upperBound
        }
    }
    guard choice & 2 == 0 else { return }
    names.committed = CheckpointNames.Committed(name: "new", created: 1)
    names.aborted = nil
    disk.store(names, committing: snapshot)
    precondition(disk.checkpointNames == names, "other names than were stored")
}

/// Returns a number that is often one which a header may have, or close to one.
private func number(_ script: inout Script) -> UInt64 {
    let style = script.byte()
    let power = UInt64(1) << UInt64(style & 63)
    switch style >> 6 {
    case 0: return power
    case 1: return power &- UInt64(script.byte())
    case 2: return power &+ UInt64(script.byte())
    default: return script.wide()
    }
}

// MARK: - Images

/// Size in bytes of the disk that an image is restored to.
private let diskSize = (1 << 20) + (8 << 10)

/// Opens, restores and saves an image whose files are damaged, or are none at all. Whatever a save says to have saved
/// must be what the next program restores.
func fuzzImage(_ input: [UInt8]) {
    var script = Script(input)
    Scratch.remove(prefix: "disk.img")
    let size = [64 << 10, 1 << 20, (1 << 20) + 5_000][Int(script.byte()) % 3]
    do {
        let disk = try RamDisk(size: UInt64(diskSize), isSparse: true)
        do {
            if script.byte() & 1 == 0 { try saveSomething(size, &script) }
            try writeJournal(size, &script)
            damageFiles(&script)
            guard try useImage(disk, &script) else { return }
        } catch {
            // What is damaged may be refused.
            return
        }
        let again = try RamDisk(size: UInt64(diskSize), isSparse: true)
        let info = try DiskImage(path: Scratch.path("disk.img")).restore(into: again)
        precondition(info?.size == disk.size, "the size of an image")
        let (bytes, expected) = try (
            again.read(at: 0, count: diskSize), disk.read(at: 0, count: diskSize)
        )
        precondition(bytes == expected, "another disk is restored than was saved")
    } catch {
        preconditionFailure("what was saved is not restored: \(error)")
    }
}

/// Makes an image with a state that fits.
private func saveSomething(_ size: Int, _ script: inout Script) throws {
    let disk = try RamDisk(size: UInt64(size), isSparse: true)
    for _ in 0..<script.byte() & 3 { change(disk, &script) }
    _ = try DiskImage(path: Scratch.path("disk.img")).save(disk)
}

private func change(_ disk: RamDisk, _ script: inout Script) {
    let offset = UInt64(script.byte()) * 4096 % (disk.size - 4096)
    let bytes = [UInt8](repeating: script.byte(), count: 4096)
    guard (try? disk.write(bytes, at: offset)) != nil else {
        preconditionFailure("the disk cannot be written")
    }
}

/// Leaves a journal as a save does that was cut off, with any records.
private func writeJournal(_ size: Int, _ script: inout Script) throws {
    let shape = script.byte()
    guard shape & 1 != 0 else { return }
    let files = ImageFiles(path: Scratch.path("disk.img"))
    let journalSize = shape & 2 == 0 ? UInt64(size) : number(&script)
    var journal = try JournalWriter(
        of: files, size: journalSize, base: shape & 4 == 0 ? 1 : number(&script))
    let memory = try MemoryMapping(privateBytes: 4096)
    memory.region.copy(from: [UInt8](repeating: script.byte(), count: 4096))
    for _ in 0..<shape >> 3 & 3 {
        let offset = shape & 0x20 == 0 ? UInt64(script.byte()) * 4096 : number(&script)
        if script.byte() & 1 == 0 {
            try journal.appendData(memory.region, at: offset)
        } else {
            // A disk has fewer than 2^63 bytes; what a longer range would be cannot be written.
            let start = offset >> 1
            try journal.appendZeroes(start..<start + number(&script) >> 1)
        }
    }
    guard shape & 0x40 == 0 else { return try journal.flush() }
    try journal.commit(
        ImageState(
            size: shape & 0x80 == 0 ? UInt64(size) : number(&script),
            generation: shape & 4 == 0 ? 2 : number(&script), savedAt: script.wide(),
            checksums: [UInt64(script.byte() & 3): script.wide()]))
}

/// Changes, cuts and replaces files.
private func damageFiles(_ script: inout Script) {
    for file in ImageFile.allCases {
        let shape = script.byte()
        let name = "disk.img" + file.rawValue
        var bytes = Scratch.read(name)
        if shape & 1 != 0 { bytes = script.bytes(Int(script.byte())) }
        if shape & 2 != 0, file == .state || file == .stateDraft {
            var state = ImageState(
                size: number(&script), generation: number(&script), savedAt: 0, checksums: [:])
            for _ in 0..<script.byte() & 3 { state.checksums[number(&script)] = script.wide() }
            bytes = state.encoded
        }
        if shape & 4 != 0, let count = bytes?.count, count > 0 {
            bytes?[script.number(upTo: count - 1)] ^= script.byte()
        }
        // With a checksum that is right, the values behind it are what is tried.
        if shape & 8 != 0, file == .state || file == .stateDraft, let whole = bytes, whole.count > 8
        {
            var sealed = Array(whole.dropLast(8))
            sealed.append(littleEndian: Checksum.of(sealed))
            bytes = sealed
        }
        guard let bytes, shape & 0x10 == 0 else {
            Scratch.remove(prefix: shape & 0x30 == 0x30 && file != .image ? name : "none")
            continue
        }
        Scratch.write(bytes, to: name)
        guard shape & 0x40 != 0 else { continue }
        var length = number(&script) % (1 << 40)
        // A long file that is still read as a whole takes seconds, and shows nothing more.
        if file != .image, length <= ImageState.longest { length %= 1 << 20 }
        Scratch.setLength(length, of: name)
    }
}

/// Restores the image, changes the disk and saves it. Returns whether that was possible.
private func useImage(_ disk: RamDisk, _ script: inout Script) throws -> Bool {
    let image = try DiskImage(path: Scratch.path("disk.img"))
    _ = image.info
    _ = try image.restore(into: disk)
    let choice = script.byte()
    guard choice & 1 == 0 else { return false }
    let offset = UInt64(choice) * 4096
    try disk.write([UInt8](repeating: choice, count: 4096), at: offset)
    let isIncremental = choice & 2 != 0 && image.info?.size == disk.size
    _ = try image.save(disk, changes: isIncremental ? [offset..<offset + 4096] : nil)
    return true
}
