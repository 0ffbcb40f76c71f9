internal import LinuxIO
package import NBDServer
internal import SystemPackage
internal import Synchronization

/// An image: a file that holds a disk as it was at its last save.
///
/// The file is an ordinary sparse one with the disk's bytes and nothing else. A small file beside it, `PATH.state`,
/// holds checksums. A save that was cut off at any moment leaves the save before it, or is complete; the design is
/// in docs/internals/images.md.
///
/// The image is locked as long as this object exists. Its methods may be called from any thread; one that is called
/// during another one waits.
package final class DiskImage: Sendable {
    private let core: Mutex<ImageCore>

    /// Locks an image, which need not exist yet, and finishes or removes an interrupted save.
    ///
    /// - Throws: ``DiskImageError`` when the image is in use or cannot be locked, when the path cannot be an image's,
    ///   and when the files do not belong together, as far as that shows without reading the image.
    package convenience init(path: String) throws(DiskImageError) {
        try self.init(path: path, hook: nil)
    }

    /// The same, with a hook that can prevent each change to a file.
    init(path: String, hook: EffectHook?) throws(DiskImageError) {
        core = Mutex(try ImageCore(ImageFiles(path: path, hook: hook)))
    }

    /// The properties of the image that its state file has; nil when there is no image.
    package var info: ImageInfo? { core.withLock { $0.info } }

    /// Saves a disk.
    ///
    /// The save is incremental when `changes` is not nil, covers at most half of the disk's data, and this object
    /// has saved or restored the image before, which no other program has changed since. Otherwise it is a full one,
    /// which replaces the file.
    ///
    /// An error leaves the last complete save, and no file that a later save would not remove.
    /// ``DiskImageError/unfinished(path:reason:)`` is the exception: the new save is complete, and will be moved into
    /// the image later. In every case the caller keeps the changes for its next save.
    ///
    /// - Parameters:
    ///   - source: a disk whose bytes do not change during the call.
    ///   - changes: ranges of bytes, in any order, that cover everything that has changed since the last save or
    ///     restore of this object that has returned. Nil when that is not known.
    ///   - dataBytes: how many bytes of the disk may hold data; nil to ask the source, which a source that can only be
    ///     read once does not permit.
    ///   - progress: is called with the number of bytes of the disk that have been read, and the number to read.
    ///   - isCancelled: is asked before each chunk; true ends the save with ``DiskImageError/cancelled``.
    package func save(
        _ source: any BlockStore, changes: (any Sequence<Range<UInt64>>)? = nil,
        dataBytes: UInt64? = nil,
        progress: @escaping (TransferProgress) -> Void = { _ in },
        isCancelled: @escaping () -> Bool = { false }
    ) throws(DiskImageError) -> SaveResult {
        try core.withLock { (core) throws(DiskImageError) in
            try core.save(
                FrozenSource(source, dataBytes: dataBytes), changes: changes,
                monitor: TransferMonitor(report: progress, isCancelled: isCancelled))
        }
    }

    /// Bytes of the image that hold data, more or less; nil when there is none. It takes no time to find out.
    package var dataBytes: UInt64? { core.withLock { $0.dataBytes } }

    /// Begins to copy the image to a disk that is served meanwhile, and checks each piece before it is used. Returns
    /// nil, and does nothing, when there is no image.
    ///
    /// The image must not be saved before the restore is complete: a save may replace what it still has to read.
    ///
    /// - Parameters:
    ///   - disk: a blank disk with ``NBDServer/RamDisk/lateContents``, at least as large as the image.
    ///   - onEvent: is called on threads of the restore.
    package func beginRestore(
        to disk: RamDisk, onEvent: @escaping @Sendable (Restoration.Event) -> Void
    ) throws(DiskImageError) -> Restoration? {
        try core.withLock { (core) throws(DiskImageError) in
            try core.beginRestore(to: disk, onEvent: onEvent)
        }
    }

    /// Copies the image to a disk, and checks it. Returns nil, and does nothing, when there is no image.
    ///
    /// Only pages that are not zero are written. A few threads read at the same time.
    ///
    /// - Parameters:
    ///   - disk: a blank disk, at least as large as the image. After an error its contents are of no use.
    ///   - progress: is called on this thread with the number of bytes that have been read, and the number to read.
    ///   - isCancelled: is asked on this thread before each chunk; true ends it with ``DiskImageError/cancelled``.
    package func restore(
        into disk: RamDisk, progress: @escaping (TransferProgress) -> Void = { _ in },
        isCancelled: @escaping () -> Bool = { false }
    ) throws(DiskImageError) -> ImageInfo? {
        try core.withLock { (core) throws(DiskImageError) in
            try core.restore(
                into: disk, monitor: TransferMonitor(report: progress, isCancelled: isCancelled))
        }
    }
}

/// The properties of an image that are known without reading it.
package struct ImageInfo: Sendable, Equatable {
    /// The length of the image in bytes, which is the size of the disk that was saved.
    package let size: UInt64
    /// The number of the save; each has a larger one than the save before. 0 for a file that another program made.
    package let generation: UInt64
    /// When it was saved, in seconds since 1970; nil for a file that another program made.
    package let savedAt: UInt64?
}

/// The result of a save.
package struct SaveResult: Sendable, Equatable {
    /// The extent of a save.
    package enum Kind: Sendable, Equatable {
        /// All data, to a new file.
        case full
        /// The changes, to the journal and to the image.
        case incremental
        /// Nothing, since nothing had changed.
        case unchanged
    }

    package let kind: Kind
    /// The number of the save that the image now holds.
    package let generation: UInt64
    /// Bytes that were written to the image.
    package let imageBytes: UInt64
    /// Bytes that were written to the state file and the journal.
    package let sideBytes: UInt64
    package let duration: Duration
}

/// The progress of a save or restore, in bytes.
package struct TransferProgress: Sendable, Equatable {
    package let bytesDone: UInt64
    package let bytesTotal: UInt64
}

/// The callbacks of a save or restore to its caller.
struct TransferMonitor {
    let report: (TransferProgress) -> Void
    let isCancelled: () -> Bool

    func checkCancelled() throws(DiskImageError) {
        if isCancelled() { throw .cancelled }
    }
}

/// The image itself, for one thread at a time.
struct ImageCore: ~Copyable {
    let files: ImageFiles
    private let lock: LockFile
    /// The contents of the state file; nil when there is none.
    var state: ImageState?
    /// The image as this object left or found it when it last saved or restored it; nil before that. While the image
    /// still has this status, it holds what the caller expects.
    var baseline: FileStatus?

    init(_ files: ImageFiles) throws(DiskImageError) {
        try Self.checkDirectory(files.directory)
        try Self.checkKind(of: files)
        let lock = try Self.lock(files.path)
        let state = try files.recover()
        _ = try Self.checkedImage(of: files, state)
        self.files = files
        self.lock = lock
        self.state = state
    }

    private static func checkDirectory(_ path: String) throws(DiskImageError) {
        let status: FileStatus?
        do throws(Errno) {
            status = try FileStatus.of(path, followingLinks: true)
        } catch {
            throw .system(action: "use the directory", file: path, error)
        }
        guard status?.kind == .directory else { throw .noDirectory(path) }
    }

    private static func checkKind(of files: ImageFiles) throws(DiskImageError) {
        guard let status = try files.status(of: .image), status.kind != .regular else { return }
        throw .notFile(path: files.path, status.kind)
    }

    /// Locks a file of its own, since a full save replaces the image.
    private static func lock(_ path: String) throws(DiskImageError) -> LockFile {
        do throws(LockFile.Failure) {
            return try LockFile(path + ".lock")
        } catch {
            switch error {
            case .held(let pid): throw .inUse(path: path, pid: pid)
            case .system(let error): throw .system(action: "lock", file: path + ".lock", error)
            }
        }
    }

    /// Checks what can be checked without reading the image, and returns its status; nil when there is none.
    static func checkedImage(
        of files: ImageFiles, _ state: ImageState?
    ) throws(DiskImageError) -> FileStatus? {
        try checkKind(of: files)
        let status = try files.status(of: .image)
        guard let state else { return status }
        guard let status else { throw .imageMissing(path: files.path) }
        guard status.size == state.size else {
            throw .wrongLength(path: files.path, found: status.size, expected: state.size)
        }
        return status
    }

    var info: ImageInfo? {
        if let state {
            return ImageInfo(
                size: state.size, generation: state.generation, savedAt: state.savedAt)
        }
        guard let status = try? files.status(of: .image) else { return nil }
        return ImageInfo(size: status.size, generation: 0, savedAt: nil)
    }
}
