internal import LinuxIO
internal import NBDServer
internal import Synchronization
internal import SystemPackage

/// A restore that runs while the disk is served: ``NBDServer/LateContents`` whose source is an image.
///
/// A few threads fetch what no client has asked for yet, from the start of the image to its end. A piece that cannot
/// be fetched is tried again every second, and by each request that needs it.
package final class Restoration: Sendable {
    /// An event of a restore, reported on one of its threads.
    package enum Event: Sendable, Equatable {
        case progress(TransferProgress)
        /// The first piece that cannot be fetched, with the reason.
        case failed(String)
        /// Everything is on the disk.
        case complete
    }

    private let disk: RamDisk
    private let contents: LateContents
    private let source: ImageFetcher
    private let path: String
    private let onEvent: @Sendable (Event) -> Void
    /// The number of pieces that the threads have taken.
    private let taken = Atomic<Int>(0)
    private let state = Mutex<(failure: String?, isComplete: Bool)>((nil, false))

    /// Starts the threads.
    ///
    /// - Parameter disk: a blank disk with ``NBDServer/RamDisk/lateContents``.
    init(
        _ source: ImageFetcher, of path: String, to disk: RamDisk,
        onEvent: @escaping @Sendable (Event) -> Void
    ) throws(DiskImageError) {
        guard let contents = disk.lateContents else {
            preconditionFailure("only a disk with late contents is served during its restore")
        }
        self.source = source
        self.path = path
        self.disk = disk
        self.contents = contents
        self.onEvent = onEvent
        contents.begin(with: source)
        do throws(Errno) {
            try Thread(name: "restore-0") { self.runFirst() }.detach()
        } catch {
            throw .system(action: "start a thread to restore", file: path, error)
        }
    }

    /// The progress. The total is an estimate for an image that another program made.
    package var progress: TransferProgress { source.progress }

    /// The reason why a piece cannot be fetched; nil when none has failed, or all have been fetched since.
    package var failure: String? { state.withLock { $0.failure } }

    /// Whether everything is on the disk, and has been reported.
    package var isComplete: Bool { state.withLock { $0.isComplete } }

    /// Waits until everything is on the disk. Throws, also before that, when a piece cannot be fetched.
    package func wait() throws(DiskImageError) {
        while !isComplete {
            if let failure { throw .notRestored(path: path, reason: failure) }
            Thread.sleep(milliseconds: Self.pollMilliseconds)
        }
    }

    /// Milliseconds between two looks of a thread that waits. What it waits for takes seconds as a rule.
    private static let pollMilliseconds = 5
    /// Milliseconds before what has failed is tried again.
    private static let retryMilliseconds = 1_000

    // MARK: - Threads

    private func runFirst() {
        // A start is not to take all processors of a large machine.
        let others = (1..<max(1, min(4, Processor.onlineCount))).compactMap { index in
            // A thread that does not start leaves its part to the others.
            try? Thread(name: "restore-\(index)") { self.run() }
        }
        run { self.onEvent(.progress(self.progress)) }
        for thread in others { thread.join() }
        while contents.isPending {
            Thread.sleep(milliseconds: Self.retryMilliseconds)
            for piece in 0..<contents.pieceCount where !contents.isPresent(piece) { fetch(piece) }
        }
        state.withLock { $0 = (nil, true) }
        onEvent(.complete)
    }

    private func run(report: () -> Void = {}) {
        while true {
            let piece = taken.add(1, ordering: .relaxed).oldValue
            guard piece < contents.pieceCount else { return }
            fetch(piece)
            report()
        }
    }

    private func fetch(_ piece: Int) {
        do throws(BlockStoreError) {
            try contents.fetch(piece, to: disk)
        } catch {
            let reason = error.message
            let isNew = state.withLock { state in
                defer { state.failure = reason }
                // Of many damaged pieces the log has one.
                return state.failure == nil
            }
            if isNew { onEvent(.failed(reason)) }
        }
    }
}

/// An image as the source of a disk's late contents.
final class ImageFetcher: LateSource {
    private let files: ImageFiles
    private let image: ImageSource
    private let checksums: [UInt64: UInt64]?
    /// The image as it was when the restore began.
    private let status: FileStatus
    /// Bytes of the image that hold data, more or less.
    private let total: UInt64
    private let done = Atomic<UInt64>(0)
    /// Buffers that no thread uses at present.
    private let buffers = Mutex<[FetchBuffer]>([])

    init(
        _ files: ImageFiles, state: ImageState?, status: FileStatus, dataBytes: UInt64
    ) throws(DiskImageError) {
        precondition(LateContents.pieceLength == UInt64(ChunkBuffer.byteCount))
        self.files = files
        image = try ImageSource(files)
        checksums = state?.checksums
        self.status = status
        total = dataBytes
    }

    var progress: TransferProgress {
        TransferProgress(
            bytesDone: min(total, done.load(ordering: .relaxed)), bytesTotal: total)
    }

    var dataBytes: UInt64 { total }

    func fetch(_ range: Range<UInt64>, to disk: RamDisk) throws(BlockStoreError) -> UInt64 {
        // The disk may be larger than the image.
        guard range.lowerBound < image.size else { return 0 }
        do throws(DiskImageError) {
            let buffer = try takeBuffer()
            defer { buffers.withLock { $0.append(buffer) } }
            let count = try buffer.chunk.withLock { (chunk) throws(DiskImageError) in
                try copy(range.lowerBound / LateContents.pieceLength, through: &chunk, to: disk)
            }
            done.add(UInt64(count), ordering: .relaxed)
            return UInt64(count)
        } catch .noMemory(let path, let size) {
            throw .noMemory("\(DiskImageError.noMemory(path: path, diskSize: size))")
        } catch {
            throw .inputOutput("\(error)")
        }
    }

    private func takeBuffer() throws(DiskImageError) -> FetchBuffer {
        if let free = buffers.withLock({ $0.popLast() }) { return free }
        return try FetchBuffer()
    }

    /// Copies a chunk, and returns how many bytes were read for it.
    private func copy(
        _ chunk: UInt64, through buffer: inout ChunkBuffer, to disk: RamDisk
    ) throws(DiskImageError) -> Int {
        try buffer.load(chunk, from: image)
        if checksums == nil, try !image.hasContents(of: status) {
            throw .changedDuringRestore(path: files.path)
        }
        try buffer.restore(to: disk, checkedBy: checksums, path: files.path)
        return buffer.loadedCount
    }
}

/// A buffer that one thread at a time uses. A lock, which no thread ever waits for, is how it is passed on.
private final class FetchBuffer: Sendable {
    let chunk: Mutex<ChunkBuffer>

    init() throws(DiskImageError) { chunk = Mutex(try ChunkBuffer()) }
}
