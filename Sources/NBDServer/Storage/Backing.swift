internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// The memory of one disk, in a file on a tmpfs or a hugetlbfs, which this process alone has.
///
/// What is new has no name at first, so a server that does not get ready leaves nothing behind. From
/// ``publish()`` on it outlives the process; ``keep()`` and ``remove()`` end that in order. If neither
/// is called, it is found as a server that was killed leaves it.
final class Backing: Sendable {
    /// The disk's bytes, up to the end of the last page.
    let memory: SharedMemory
    /// Bytes in the disk.
    let size: UInt64
    /// Bytes in a page of its file system.
    let pageSize: Int
    /// Which memory it is.
    let identity: DiskIdentity
    /// Whether a server before this one has left it.
    let wasFound: Bool
    /// Whether that one kept it on purpose, and did not die.
    let wasClean: Bool
    private let place: BackingLocation
    private let header: MemoryMapping
    private let isNamed: Atomic<Bool>

    /// How often a name is looked up again that was removed in that moment.
    private static var attempts: Int { 16 }

    /// Takes what has the name, or makes it.
    ///
    /// - Parameters:
    ///   - size: in bytes; nil for whatever is found.
    ///   - newSize: in bytes, for a new backing if `size` is nil; if both are nil, the backing must exist.
    static func open(
        _ place: BackingLocation, size: UInt64?, newSize: UInt64?
    ) throws(BackingError) -> Backing {
        guard BackingLocation.isName(place.name) else { throw .badName(place.name) }
        do throws(Errno) {
            try MemoryFile.makeDirectory(place.directory)
        } catch {
            throw error == .notPermitted
                ? .notOurs(directory: place.directory)
                : .system(path: place.directory, error)
        }
        for _ in 0..<attempts {
            guard let file = try find(place) else {
                guard let newSize = size ?? newSize else {
                    throw .system(path: place.path, .noSuchFileOrDirectory)
                }
                return try Backing(making: place, size: newSize)
            }
            try lock(file, place)
            // The one that had it may have removed it before we got it.
            if file.isAt(place.path) {
                return try Backing(found: file, place, wanted: size)
            }
        }
        throw .inUse(path: place.path, pid: nil)
    }

    private init(making place: BackingLocation, size: UInt64) throws(BackingError) {
        guard size >= RamDisk.smallestSize, size <= RamDisk.largestSize else {
            throw .memory(.sizeOutOfRange(size))
        }
        do throws(Errno) {
            var file = try MemoryFile(unnamedIn: place.directory)
            let layout = BackingHeader(size: size, pageSize: file.pageSize)
            guard layout.fileSize <= UInt64(Int64.max) else { throw .fileTooLarge }
            try file.lock()
            try file.grow(to: Int(layout.fileSize), provisioning: layout.headerCount)
            header = try MemoryMapping(startOf: file, count: layout.headerCount)
            header.region.copy(from: layout.encoded)
            identity = layout.identity
            memory = SharedMemory(
                file, offset: Int(layout.dataOffset), size: Int(layout.dataCount))
        } catch .notSupported {
            throw .notMemory(directory: place.directory)
        } catch {
            throw .memory(.cannotAllocate(size: size, error))
        }
        self.place = place
        self.size = size
        pageSize = header.region.count
        wasFound = false
        wasClean = true
        isNamed = Atomic(false)
        store(isServed: false)
    }

    private init(
        found file: consuming MemoryFile, _ place: BackingLocation, wanted: UInt64?
    ) throws(BackingError) {
        let bytes = try Self.headerBytes(file, place)
        let layout = try Self.check(bytes, of: file, place, wanted: wanted)
        do throws(Errno) {
            header = try MemoryMapping(startOf: file, count: layout.headerCount)
        } catch {
            throw .system(path: place.path, error)
        }
        memory = SharedMemory(file, offset: Int(layout.dataOffset), size: Int(layout.dataCount))
        self.place = place
        size = layout.size
        identity = layout.identity
        pageSize = layout.headerCount
        wasFound = true
        wasClean = !BackingState(decoding: bytes).isServed
        isNamed = Atomic(true)
        store(isServed: !wasClean)
    }

    /// Says that it is served from here on, and gives a new one its name: it outlives this process.
    func publish() throws(BackingError) {
        store(isServed: true)
        guard !isNamed.load(ordering: .acquiring) else { return }
        do throws(Errno) {
            try memory.name(place.path)
        } catch .fileExists {
            // Somebody has made one of the same name meanwhile.
            throw .inUse(path: place.path, pid: nil)
        } catch {
            throw .system(path: place.path, error)
        }
        isNamed.store(true, ordering: .releasing)
    }

    /// It stays, and the next server is told that this one ended in order.
    func keep() { BackingState.kept.store(in: header.region) }

    /// It goes; its memory is free when the disk is gone.
    func remove() {
        guard isNamed.exchange(false, ordering: .acquiringAndReleasing) else { return }
        memory.removeName(place.path)
    }

    private func store(isServed: Bool) {
        BackingState(isServed: isServed, process: CurrentProcess.number).store(in: header.region)
    }

    /// Bytes of memory that the disk takes up.
    var residentBytes: Int { max(0, memory.residentBytes - header.region.count) }
}

// MARK: - Finding

extension Backing {
    /// The file of that name; nil when there is none.
    private static func find(_ place: BackingLocation) throws(BackingError) -> MemoryFile? {
        do throws(Errno) {
            return try MemoryFile(path: place.path)
        } catch .noSuchFileOrDirectory {
            return nil
        } catch .notSupported {
            throw .notMemory(directory: place.directory)
        } catch .invalidArgument, .isDirectory, .tooManySymbolicLinkLevels, .noSuchAddressOrDevice {
            throw .notFile(path: place.path)
        } catch {
            throw .system(path: place.path, error)
        }
    }

    private static func lock(
        _ file: borrowing MemoryFile, _ place: BackingLocation
    ) throws(BackingError) {
        do throws(Errno) {
            try file.lock()
        } catch .wouldBlock {
            throw .inUse(path: place.path, pid: holder(file))
        } catch {
            throw .system(path: place.path, error)
        }
    }

    /// The process that the header says has it open.
    private static func holder(_ file: borrowing MemoryFile) -> Int32? {
        guard let bytes = try? file.bytes(count: BackingHeader.byteCount),
            (try? BackingHeader(decoding: bytes)) != nil
        else { return nil }
        let process = BackingState(decoding: bytes).process
        return process == 0 ? nil : process
    }

    private static func headerBytes(
        _ file: borrowing MemoryFile, _ place: BackingLocation
    ) throws(BackingError) -> [UInt8] {
        do throws(Errno) {
            return try file.bytes(count: BackingHeader.byteCount)
        } catch {
            throw .system(path: place.path, error)
        }
    }

    /// The header of a file, if the file is what it says and what is wanted.
    private static func check(
        _ bytes: [UInt8], of file: borrowing MemoryFile, _ place: BackingLocation, wanted: UInt64?
    ) throws(BackingError) -> BackingHeader {
        let header: BackingHeader
        do throws(BackingHeader.Flaw) {
            header = try BackingHeader(decoding: bytes)
        } catch .version(let found) {
            throw .otherVersion(path: place.path, found: found)
        } catch {
            throw .damaged(path: place.path)
        }
        guard header.pageSize == file.pageSize else { throw .damaged(path: place.path) }
        guard header.fileSize == file.size else {
            throw .wrongLength(
                path: place.path, found: UInt64(file.size), told: header.fileSize)
        }
        if let wanted, wanted != header.size {
            throw .otherSize(path: place.path, found: header.size, wanted: wanted)
        }
        return header
    }
}

// MARK: - Layout

extension BackingHeader {
    /// A new disk's: its bytes begin where a large page can.
    init(size: UInt64, pageSize: Int) {
        self.init(
            size: size, dataOffset: UInt64(max(pageSize, MemoryMapping.largePageSize)),
            pageSize: UInt64(pageSize), identity: .random())
    }

    /// Bytes in the disk, up to the end of the last page.
    var dataCount: UInt64 { (size + pageSize - 1) / pageSize * pageSize }

    /// Bytes in the file.
    var fileSize: UInt64 { dataOffset + dataCount }

    /// Bytes to map for the header itself: a page.
    var headerCount: Int { max(Self.byteCount, Int(pageSize)) }
}
