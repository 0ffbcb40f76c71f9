internal import LinuxIO
internal import NBDServer
internal import Synchronization
internal import SystemPackage

extension ImageCore {
    /// Copies the image to a disk; see ``DiskImage/restore(into:progress:isCancelled:)``.
    mutating func restore(
        into disk: RamDisk, monitor: TransferMonitor
    ) throws(DiskImageError) -> ImageInfo? {
        guard let status = try prepareRestore(to: disk) else { return nil }
        let image = try ImageSource(files)
        let chunks = try image.chunks(mentionedIn: state)
        let work = RestoreWork(files, state: state, disk: disk, chunks: chunks)
        // Limit the threads: a server that starts must not occupy every processor of a large machine.
        let threadCount = min(4, Processor.onlineCount, chunks.count)
        let threads = (1..<max(1, threadCount)).compactMap { index in
            // A thread that does not start leaves its part to the others.
            try? Thread(name: "restore-\(index)") { work.run() }
        }
        work.run(monitor: monitor)
        for thread in threads { thread.join() }
        try work.result()
        work.report(chunks.count, to: monitor)
        // As it was before the first byte was read, so that a later change makes the next save a full one.
        baseline = status
        return info
    }

    /// Begins to copy the image to a disk; see ``DiskImage/beginRestore(to:onEvent:)``.
    mutating func beginRestore(
        to disk: RamDisk, onEvent: @escaping @Sendable (Restoration.Event) -> Void
    ) throws(DiskImageError) -> Restoration? {
        guard let status = try prepareRestore(to: disk) else { return nil }
        let dataBytes = dataBytes ?? status.size
        guard disk.hasRoom(for: dataBytes) else {
            throw .noMemory(path: files.path, diskSize: disk.size)
        }
        let source = try ImageFetcher(files, state: state, status: status, dataBytes: dataBytes)
        baseline = status
        return try Restoration(source, of: files.path, to: disk, onEvent: onEvent)
    }

    /// Finishes or removes what a save has left, checks what can be checked without reading the image, and returns its
    /// status; nil when there is none.
    private mutating func prepareRestore(to disk: RamDisk) throws(DiskImageError) -> FileStatus? {
        precondition(disk.isBlank)
        state = try files.recover()
        guard let status = try Self.checkedImage(of: files, state) else { return nil }
        guard status.size <= disk.size else {
            throw .tooLarge(path: files.path, size: status.size, diskSize: disk.size)
        }
        return status
    }

    /// Bytes of the image that hold data: those of chunks that are not zero, but not more than have storage. Nil when
    /// there is no image.
    var dataBytes: UInt64? {
        guard let size = info?.size else { return nil }
        let chunks = (state?.checksums.count).map { UInt64($0 * ChunkBuffer.byteCount) }
        let stored = (try? InputFile(path: files.path).storedBytes) ?? nil
        return min(size, chunks ?? size, stored ?? size)
    }
}

extension ChunkBuffer {
    /// Checks the chunk that the last load has read, and copies its data to a disk.
    ///
    /// - Parameter checksums: those of all chunks that are not zero; nil when they are not known.
    func restore(
        to disk: RamDisk, checkedBy checksums: [UInt64: UInt64]?, path: String
    ) throws(DiskImageError) {
        let chunk = range.lowerBound / UInt64(Self.byteCount)
        if let checksums, checksum != checksums[chunk] ?? 0 {
            throw .changedContents(path: path, offset: range.lowerBound)
        }
        try forEachRun(of: pages) { (pages, holdsData) throws(DiskImageError) in
            guard holdsData else { return }
            guard disk.fill(region(of: pages), at: bytes(of: pages).lowerBound) else {
                throw DiskImageError.noMemory(path: path, diskSize: disk.size)
            }
        }
    }
}

/// An image as a source of bytes.
struct ImageSource: ByteSource, ~Copyable {
    private let files: ImageFiles
    private let file: DurableFile
    let size: UInt64

    init(_ files: ImageFiles) throws(DiskImageError) {
        let file = try files.open(.image)
        let size = try files.size(of: file, .image)
        self.files = files
        self.file = file
        self.size = size
    }

    func firstData(in range: Range<UInt64>) throws(DiskImageError) -> Range<UInt64>? {
        do throws(Errno) {
            guard let run = try file.nextData(from: range.lowerBound),
                run.lowerBound < range.upperBound
            else { return nil }
            return run.clamped(to: range)
        } catch {
            // The file system does not know its holes.
            return range
        }
    }

    func read(at offset: UInt64, into region: MemoryRegion) throws(DiskImageError) {
        let count = try files.read(file, .image, at: offset, into: region)
        guard count == region.count else {
            throw .wrongLength(path: files.path, found: offset + UInt64(count), expected: size)
        }
    }

    /// Returns whether the file has the contents that it had at another moment, judged by the time of its last write.
    func hasContents(of other: FileStatus) throws(DiskImageError) -> Bool {
        do throws(Errno) {
            return try file.status.hasContents(of: other)
        } catch {
            throw files.failure("look at", .image, error)
        }
    }

    /// Returns the chunks that hold data in the file, or should according to a state, in ascending order.
    func chunks(mentionedIn state: ImageState?) throws(DiskImageError) -> [UInt64] {
        let length = UInt64(ChunkBuffer.byteCount)
        var chunks = state.map { Set($0.checksums.keys) } ?? []
        var offset: UInt64 = 0
        while offset < size, let data = try firstData(in: offset..<size) {
            for chunk in data.lowerBound / length...(data.upperBound - 1) / length {
                chunks.insert(chunk)
            }
            offset = data.upperBound
        }
        return chunks.filter { $0 < (size + length - 1) / length }.sorted()
    }
}

/// The work of a restore, for several threads. Each takes the next chunk, reads it, checks it and writes it to the
/// disk.
private final class RestoreWork: Sendable {
    private let files: ImageFiles
    private let checksums: [UInt64: UInt64]?
    private let disk: RamDisk
    private let chunks: [UInt64]
    /// The number of chunks that threads have taken.
    private let taken = Atomic<Int>(0)
    /// The number of chunks that are on the disk.
    private let finished = Atomic<Int>(0)
    /// The first error. Threads take no chunk after it.
    private let failure = Mutex<DiskImageError?>(nil)

    init(_ files: ImageFiles, state: ImageState?, disk: RamDisk, chunks: [UInt64]) {
        self.files = files
        checksums = state?.checksums
        self.disk = disk
        self.chunks = chunks
    }

    /// Takes chunks until there are no more, or one thread has failed. The thread with a monitor reports the progress
    /// of all of them.
    func run(monitor: TransferMonitor? = nil) {
        do throws(DiskImageError) {
            let image = try ImageSource(files)
            var buffer = try ChunkBuffer()
            while failure.withLock({ $0 == nil }) {
                try monitor?.checkCancelled()
                let index = taken.add(1, ordering: .relaxed).oldValue
                guard index < chunks.count else { break }
                try copy(chunks[index], from: image, through: &buffer)
                let count = finished.add(1, ordering: .relaxed).newValue
                if let monitor { report(count, to: monitor) }
            }
        } catch {
            failure.withLock { $0 = $0 ?? error }
        }
    }

    /// Reports that this number of chunks is on the disk.
    func report(_ count: Int, to monitor: TransferMonitor) {
        let chunkSize = UInt64(ChunkBuffer.byteCount)
        monitor.report(
            TransferProgress(
                bytesDone: UInt64(count) * chunkSize, bytesTotal: UInt64(chunks.count) * chunkSize))
    }

    private func copy(
        _ chunk: UInt64, from image: borrowing ImageSource, through buffer: inout ChunkBuffer
    ) throws(DiskImageError) {
        try buffer.load(chunk, from: image)
        try buffer.restore(to: disk, checkedBy: checksums, path: files.path)
    }

    /// Throws the first error.
    func result() throws(DiskImageError) {
        if let error = failure.withLock({ $0 }) { throw error }
    }
}
