internal import LinuxIO
internal import SystemPackage

/// The files of an image. The raw value is what follows the image's path.
enum ImageFile: String, CaseIterable, Sendable {
    case image = ""
    /// A full save before it replaces the image.
    case draft = ".new"
    case state = ".state"
    /// A state before it replaces the one before.
    case stateDraft = ".state.new"
    /// The changes of an incremental save.
    case journal = ".journal"
}

/// A change that a save makes to files.
enum FileEffect: Equatable, Sendable {
    case create(ImageFile)
    case resize(ImageFile, to: UInt64)
    case write(ImageFile, at: UInt64, count: Int)
    case allocate(ImageFile, Range<UInt64>)
    case punchHole(ImageFile, Range<UInt64>)
    case sync(ImageFile)
    case rename(ImageFile, to: ImageFile)
    case remove(ImageFile)
    case syncDirectory

    /// The action of the change and its file, for an error; nil for the directory.
    fileprivate var action: (verb: String, file: ImageFile?) {
        switch self {
        case .create(let file): ("create", file)
        case .resize(let file, _): ("change the size of", file)
        case .write(let file, _, _): ("write", file)
        case .allocate(let file, _): ("allocate space for", file)
        case .punchHole(let file, _): ("punch a hole in", file)
        case .sync(let file): ("sync", file)
        case .rename(let file, _): ("rename", file)
        case .remove(let file): ("remove", file)
        case .syncDirectory: ("sync the directory", nil)
        }
    }
}

/// A hook with which tests prevent a change or cut it short.
struct EffectHook: Sendable {
    enum Verdict: Sendable {
        case perform
        /// Writes the first bytes, as many as this number, and fails.
        case performFirst(Int)
        case fail(Errno)
    }

    /// The change, and the bytes that it writes.
    let decide: @Sendable (FileEffect, MemoryRegion?) -> Verdict
}

/// The names of an image's files. Every change to them goes through here.
struct ImageFiles: Sendable {
    /// The path of the image.
    let path: String
    /// The path of its directory.
    let directory: String
    private let hook: EffectHook?

    init(path: String, hook: EffectHook? = nil) {
        self.path = path
        let parent = FilePath(path).removingLastComponent().string
        directory = parent.isEmpty ? "." : parent
        self.hook = hook
    }

    func path(of file: ImageFile) -> String { path + file.rawValue }

    /// Returns what a file is at present; nil when there is none.
    func status(of file: ImageFile) throws(DiskImageError) -> FileStatus? {
        do throws(Errno) {
            return try FileStatus.of(path(of: file))
        } catch {
            throw failure("look for", file, error)
        }
    }

    func exists(_ file: ImageFile) throws(DiskImageError) -> Bool {
        try status(of: file) != nil
    }

    func remove(_ file: ImageFile) throws(DiskImageError) {
        try perform(.remove(file)) { () throws(Errno) in try FileName.remove(path(of: file)) }
    }

    func rename(_ file: ImageFile, to other: ImageFile) throws(DiskImageError) {
        try perform(.rename(file, to: other)) { () throws(Errno) in
            try FileName.rename(path(of: file), to: path(of: other))
        }
    }

    func syncDirectory() throws(DiskImageError) {
        try perform(.syncDirectory) { () throws(Errno) in try FileName.sync(directory: directory) }
    }

    /// Returns all bytes of a file; nil when there is none.
    func contents(of file: ImageFile) throws(DiskImageError) -> [UInt8]? {
        guard try exists(file) else { return nil }
        let input = try open(file)
        let count = Int(try size(of: input, file))
        guard count > 0 else { return [] }
        let memory = try ChunkBuffer.memory(count)
        let filled = try read(input, file, at: 0, into: memory.region)
        return memory.region.slice(at: 0, count: filled).bytes
    }

    /// Opens a file for reading.
    func open(_ file: ImageFile) throws(DiskImageError) -> DurableFile {
        do throws(Errno) {
            return try DurableFile(reading: path(of: file))
        } catch {
            throw failure("read", file, error)
        }
    }

    /// Reads bytes of an open file into a region, and returns how many there were.
    func read(
        _ open: borrowing DurableFile, _ file: ImageFile, at offset: UInt64,
        into region: MemoryRegion
    ) throws(DiskImageError) -> Int {
        do throws(Errno) {
            return try open.read(at: offset, into: region)
        } catch {
            throw failure("read", file, error)
        }
    }

    /// Returns the size of an open file in bytes.
    func size(of open: borrowing DurableFile, _ file: ImageFile) throws(DiskImageError) -> UInt64 {
        do throws(Errno) {
            return try open.status.size
        } catch {
            throw failure("read", file, error)
        }
    }

    /// The error for what a call of the kernel reported about a file.
    func failure(_ action: String, _ file: ImageFile?, _ error: Errno) -> DiskImageError {
        .system(action: action, file: file.map(path(of:)) ?? directory, error)
    }

    /// Makes a change, unless a test prevents it.
    func perform(
        _ effect: FileEffect, _ body: () throws(Errno) -> Void
    ) throws(DiskImageError) {
        try permit(effect)
        do throws(Errno) {
            try body()
        } catch {
            throw failure(effect, error)
        }
    }

    /// Throws when a test prevents a change.
    fileprivate func permit(_ effect: FileEffect) throws(DiskImageError) {
        guard let hook, case .fail(let error) = hook.decide(effect, nil) else { return }
        throw failure(effect, error)
    }

    private func failure(_ effect: FileEffect, _ error: Errno) -> DiskImageError {
        failure(effect.action.verb, effect.action.file, error)
    }

    /// Returns how many bytes of a write to write: all of them, except in a test.
    fileprivate func decide(
        _ effect: FileEffect, _ bytes: MemoryRegion
    ) throws(DiskImageError) -> Int {
        switch hook?.decide(effect, bytes) ?? .perform {
        case .perform: return bytes.count
        case .performFirst(let count): return min(count, bytes.count)
        case .fail(let error): throw failure(effect, error)
        }
    }
}

/// One of an image's files, open for writing.
struct EditedFile: ~Copyable {
    private let files: ImageFiles
    private let name: ImageFile
    private let file: DurableFile
    /// The number of bytes that have been written.
    private(set) var bytesWritten: UInt64 = 0

    /// Creates a file that does not exist.
    init(creating name: ImageFile, of files: ImageFiles) throws(DiskImageError) {
        self.files = files
        self.name = name
        try files.permit(.create(name))
        do throws(Errno) {
            file = try DurableFile(creating: files.path(of: name))
        } catch {
            throw files.failure("create", name, error)
        }
    }

    /// Opens an existing file.
    init(updating name: ImageFile, of files: ImageFiles) throws(DiskImageError) {
        self.files = files
        self.name = name
        do throws(Errno) {
            file = try DurableFile(updating: files.path(of: name))
        } catch {
            throw files.failure("open", name, error)
        }
    }

    func copyAccess(from other: FileStatus) throws(DiskImageError) {
        do throws(Errno) {
            try file.copyAccess(from: other)
        } catch {
            throw files.failure("set the permissions of", name, error)
        }
    }

    func resize(to size: UInt64) throws(DiskImageError) {
        try files.perform(.resize(name, to: size)) { () throws(Errno) in
            try file.resize(to: size)
        }
    }

    mutating func write(_ region: MemoryRegion, at offset: UInt64) throws(DiskImageError) {
        let count = try files.decide(.write(name, at: offset, count: region.count), region)
        do throws(Errno) {
            try file.write(region.slice(at: 0, count: count), at: offset)
            if count < region.count { throw .ioError }
        } catch {
            throw files.failure("write", name, error)
        }
        bytesWritten += UInt64(count)
    }

    /// Makes a range zero: a hole, or zeroes where the file system has no holes.
    mutating func zero(_ range: Range<UInt64>) throws(DiskImageError) {
        do throws(DiskImageError) {
            try punchHole(range)
        } catch .system(_, _, .notSupported) {
            // A new buffer is all zeroes.
            let zeroes = try ChunkBuffer.memory()
            var offset = range.lowerBound
            while offset < range.upperBound {
                let count = min(UInt64(ChunkBuffer.byteCount), range.upperBound - offset)
                try write(zeroes.region.slice(at: 0, count: Int(count)), at: offset)
                offset += count
            }
        }
    }

    func punchHole(_ range: Range<UInt64>) throws(DiskImageError) {
        try files.perform(.punchHole(name, range)) { () throws(Errno) in
            try file.punchHole(range)
        }
    }

    /// Allocates blocks for the holes of a range, and appends these to a list. Does nothing where the file system
    /// does not know its holes or cannot allocate.
    func fillHoles(
        of range: Range<UInt64>, recordingIn filled: inout [Range<UInt64>]
    ) throws(DiskImageError) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let data: Range<UInt64>?
            do throws(Errno) { data = try file.nextData(from: offset) } catch { return }
            let hole = offset..<min(range.upperBound, data?.lowerBound ?? range.upperBound)
            if !hole.isEmpty {
                // Also when it fails: the kernel may have allocated a part.
                filled.append(hole)
                do throws(DiskImageError) {
                    try files.perform(.allocate(name, hole)) { () throws(Errno) in
                        try file.allocate(hole)
                    }
                } catch .system(_, _, .notSupported) {
                    return
                }
            }
            offset = data?.upperBound ?? range.upperBound
        }
    }

    func sync() throws(DiskImageError) {
        try files.perform(.sync(name)) { () throws(Errno) in try file.sync() }
    }
}
