internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// A file in a tmpfs or a hugetlbfs that holds the memory of one disk, locked by this process.
///
/// A new file has no name at first, so a server that fails to start leaves nothing behind. After
/// ``publish()`` the file outlives the process. A server that stops calls ``keep()`` or
/// ``remove()``. If it is killed before that, the next server finds the file, with its header
/// saying that it was being served.
final class Backing: Sendable {
    /// The disk's bytes, up to the end of the last page.
    let memory: SharedMemory
    /// Size of the disk in bytes.
    let size: UInt64
    /// Bytes in a page of the file system.
    let pageSize: Int
    /// The identity of the memory.
    let identity: DiskIdentity
    /// Whether an earlier server has left the file.
    let wasFound: Bool
    /// Whether that server kept the file on purpose. It did not if it was killed or crashed.
    let wasClean: Bool
    /// The part of the disk's checkpoints that survives; nil in a file of an earlier version.
    let checkpoints: BackingCheckpoints?
    private let location: BackingLocation
    /// The header and the bitmaps.
    private let header: MemoryMapping
    private let isNamed: Atomic<Bool>

    /// Retries when another process unlinks the file between this one's open and lock.
    private static var attempts: Int { 16 }

    /// Opens and locks the file of a name, or makes a new one without a name.
    ///
    /// - Parameters:
    ///   - size: in bytes; nil accepts an existing disk of any size.
    ///   - newSize: in bytes, of a new disk if `size` is nil; if both are nil, the backing must exist.
    ///   - isSparse: a new disk needs no memory for its bytes yet.
    static func open(
        _ location: BackingLocation, size: UInt64?, newSize: UInt64?, isSparse: Bool
    ) throws(BackingError) -> Backing {
        guard BackingLocation.isName(location.name) else { throw .badName(location.name) }
        do throws(Errno) {
            try MemoryFile.makeDirectory(location.directory)
        } catch {
            throw error == .notPermitted
                ? .notOurs(directory: location.directory)
                : .system(path: location.directory, error)
        }
        for _ in 0..<attempts {
            guard let file = try find(location) else {
                guard let newSize = size ?? newSize else {
                    throw .system(path: location.path, .noSuchFileOrDirectory)
                }
                return try Backing(making: location, size: newSize, isSparse: isSparse)
            }
            try lock(file, location)
            // The process that held the lock before may have removed the file.
            if file.isAt(location.path) {
                return try Backing(found: file, location, wanted: size)
            }
        }
        throw .inUse(path: location.path, pid: nil)
    }

    private init(
        making location: BackingLocation, size: UInt64, isSparse: Bool
    ) throws(BackingError) {
        guard size >= RamDisk.smallestSize, size <= RamDisk.largestSize else {
            throw .memory(.sizeOutOfRange(size))
        }
        var file = try Self.makeFile(in: location.directory, size: size)
        let layout = BackingHeader(size: size, pageSize: file.pageSize)
        try Self.checkAvailable(layout, isSparse: isSparse)
        do throws(Errno) {
            try file.lock()
            // With the bitmaps: a thread that changes a page must find memory for its bit.
            try file.grow(to: Int(layout.fileSize), provisioning: layout.headerCount)
            header = try MemoryMapping(startOf: file, count: layout.headerCount)
            header.region.copy(from: layout.encoded)
            memory = SharedMemory(
                file, offset: Int(layout.dataOffset), size: Int(layout.dataCount))
        } catch {
            throw .memory(.cannotAllocate(size: size, error))
        }
        checkpoints = BackingCheckpoints(in: header.region, layout, names: CheckpointNames())
        identity = layout.identity
        pageSize = Int(layout.pageSize)
        self.location = location
        self.size = size
        wasFound = false
        wasClean = true
        isNamed = Atomic(false)
        store(isServed: false)
    }

    private init(
        found file: consuming MemoryFile, _ location: BackingLocation, wanted: UInt64?
    ) throws(BackingError) {
        let bytes = try Self.headerBytes(file, location)
        let (layout, names) = try Self.check(bytes, of: file, location, wanted: wanted)
        do throws(Errno) {
            header = try MemoryMapping(startOf: file, count: layout.headerCount)
        } catch {
            throw .system(path: location.path, error)
        }
        memory = SharedMemory(file, offset: Int(layout.dataOffset), size: Int(layout.dataCount))
        let region = header.region
        checkpoints = names.map { BackingCheckpoints(in: region, layout, names: $0) }
        pageSize = Int(layout.pageSize)
        self.location = location
        size = layout.size
        identity = layout.identity
        wasFound = true
        wasClean = !BackingState(decoding: bytes).isServed
        isNamed = Atomic(true)
        store(isServed: !wasClean)
    }

    private static func makeFile(
        in directory: String, size: UInt64
    ) throws(BackingError) -> MemoryFile {
        do throws(Errno) {
            return try MemoryFile(unnamedIn: directory)
        } catch .notSupported {
            throw .notMemory(directory: directory)
        } catch {
            throw .memory(.cannotAllocate(size: size, error))
        }
    }

    /// Throws when there is too little memory for a new file: the bitmaps of a disk that is too large for the machine
    /// would take much of it, before the disk is refused.
    private static func checkAvailable(
        _ layout: BackingHeader, isSparse: Bool
    ) throws(BackingError) {
        guard layout.fileSize <= UInt64(Int64.max) else {
            throw .memory(.cannotAllocate(size: layout.size, .fileTooLarge))
        }
        // Of reserved pages, the kernel says itself whether there are enough.
        guard layout.pageSize == DiskPages.pageSize else { return }
        do throws(RamDiskError) {
            try DiskMemory.checkAvailable(
                size: layout.size,
                needed: layout.headerCount + (isSparse ? 0 : Int(layout.dataCount)))
        } catch {
            throw .memory(error)
        }
    }

    /// Records that the disk is being served, and gives a new file its name.
    func publish() throws(BackingError) {
        store(isServed: true)
        guard !isNamed.load(ordering: .acquiring) else { return }
        do throws(Errno) {
            try memory.link(at: location.path)
        } catch .fileExists {
            // Another server has made a file of the same name in the meantime.
            throw .inUse(path: location.path, pid: nil)
        } catch {
            throw .system(path: location.path, error)
        }
        isNamed.store(true, ordering: .releasing)
    }

    /// Records that the server stopped and kept the file on purpose.
    func keep() { BackingState.kept.store(in: header.region) }

    /// Removes the file's name. The kernel frees the memory when the last mapping is gone.
    func remove() {
        guard isNamed.exchange(false, ordering: .acquiringAndReleasing) else { return }
        memory.unlink(at: location.path)
    }

    private func store(isServed: Bool) {
        BackingState(isServed: isServed, process: CurrentProcess.pid).store(in: header.region)
    }

    /// Bytes of memory that the disk takes up, without the header.
    var residentBytes: Int { max(0, memory.residentBytes - header.region.count) }
}

// MARK: - Finding

extension Backing {
    /// Opens the file of a name; returns nil if there is none.
    private static func find(_ location: BackingLocation) throws(BackingError) -> MemoryFile? {
        do throws(Errno) {
            return try MemoryFile(path: location.path)
        } catch .noSuchFileOrDirectory {
            return nil
        } catch .notSupported {
            throw .notMemory(directory: location.directory)
        } catch .invalidArgument, .isDirectory, .tooManySymbolicLinkLevels, .noSuchAddressOrDevice {
            throw .notFile(path: location.path)
        } catch {
            throw .system(path: location.path, error)
        }
    }

    private static func lock(
        _ file: borrowing MemoryFile, _ location: BackingLocation
    ) throws(BackingError) {
        do throws(Errno) {
            try file.lock()
        } catch .wouldBlock {
            throw .inUse(path: location.path, pid: holder(of: file))
        } catch {
            throw .system(path: location.path, error)
        }
    }

    /// The process that has the file open, according to the header.
    private static func holder(of file: borrowing MemoryFile) -> Int32? {
        guard let bytes = try? file.bytes(count: BackingHeader.byteCount),
            (try? BackingHeader(decoding: bytes)) != nil
        else { return nil }
        let process = BackingState(decoding: bytes).process
        return process == 0 ? nil : process
    }

    private static func headerBytes(
        _ file: borrowing MemoryFile, _ location: BackingLocation
    ) throws(BackingError) -> [UInt8] {
        do throws(Errno) {
            return try file.bytes(count: BackingHeader.byteCount)
        } catch {
            throw .system(path: location.path, error)
        }
    }

    /// Decodes a file's header, and checks it against the file and the wanted size. The names are nil in a file of an
    /// earlier version.
    private static func check(
        _ bytes: [UInt8], of file: borrowing MemoryFile, _ location: BackingLocation,
        wanted: UInt64?
    ) throws(BackingError) -> (BackingHeader, CheckpointNames?) {
        let header: BackingHeader
        let names: CheckpointNames?
        do throws(BackingHeader.HeaderError) {
            header = try BackingHeader(decoding: bytes)
            names = header.hasCheckpoints ? try BackingCheckpoints.names(in: bytes) : nil
        } catch .version(let found) {
            throw .otherVersion(path: location.path, found: found)
        } catch {
            throw .damaged(path: location.path)
        }
        guard header.pageSize == file.pageSize else { throw .damaged(path: location.path) }
        guard header.fileSize == file.size else {
            throw .wrongLength(
                path: location.path, found: UInt64(file.size), expected: header.fileSize)
        }
        if let wanted, wanted != header.size {
            throw .otherSize(path: location.path, found: header.size, wanted: wanted)
        }
        return (header, names)
    }
}

// MARK: - Memory

extension Backing {
    /// Whether the memory comes from the machine's pool of reserved huge pages.
    var isReserved: Bool { pageSize > DiskPages.pageSize }

    /// Returns the error for people to an error of the kernel about the memory.
    func failure(_ error: Errno) -> RamDiskError {
        guard isReserved, error == .noMemory || error == .noSpace else {
            return .cannotAllocate(size: size, error)
        }
        return .reservedPages(
            size: size, needed: (memory.size + header.region.count) / pageSize,
            free: ReservedPages.free)
    }

    /// Marks the pages of an existing disk that may hold data.
    func rebuild(_ map: AllocationMap, over region: MemoryRegion, isSparse: Bool) {
        guard wasFound else { return }
        guard isSparse else { return map.markNonzero(in: region) }
        do throws(Errno) {
            try map.markWritten(of: memory)
            try releaseUnwritten()
        } catch {
            // The file system does not report holes. Read the memory instead, and release nothing.
            map.markNonzero(in: region)
        }
    }

    /// Releases memory that was provisioned and never written. Its pages are not marked, so no trim
    /// would release it later.
    private func releaseUnwritten() throws(Errno) {
        var offset = 0
        while offset < memory.size {
            let run = try memory.nextData(from: offset) ?? memory.size..<memory.size
            if run.lowerBound > offset {
                try? memory.handle.punchHole(offset: offset, count: run.lowerBound - offset)
            }
            offset = run.upperBound
        }
    }
}
