internal import DiskImages
internal import FoundationEssentials
internal import LinuxHost
internal import LinuxIO
package import Logging
package import NBDServer
package import Observability
package import ProgramSupport
internal import Synchronization
internal import SystemPackage

/// A disk that is restored from an image, and saved to it: when the server stops, at intervals, and on command.
///
/// A save is of one instant, since it is made from a snapshot. From the second one on it writes only what has changed.
package final class SavedDisk: Sendable {
    /// The path of the image.
    package let path: String
    /// The interval between saves; nil to save only when the server stops or a command asks for it.
    private let interval: Duration?
    private let image: DiskImage
    private let logger: Logger
    private let state = Mutex(State())
    /// Held by the thread that saves.
    private let saving = Mutex<Void>(())
    /// Held by the thread that takes a frozen snapshot. With two such threads, the first would thaw the file system
    /// while the second still relies on the freeze.
    private let freezing = Mutex<Void>(())
    private let wakeUp: EventFD

    private struct State {
        var disk: RamDisk?
        /// The instant of the last save or restore.
        var marker: DiskSnapshot.Marker?
        var stats = SaveStats(export: "", image: "")
        /// The restore, if the disk is served meanwhile; nil when it is complete: it keeps the image open, and the next
        /// full save may need that space in the file system.
        var restoration: Restoration?
        var thread: Thread?
        var isOver = false
        /// Makes the disk's content consistent, and returns a function that ends this state; see ``freeze(_:)``.
        var freeze: (@Sendable () throws(Failure) -> @Sendable () -> Void)?
    }

    /// Locks an image, which need not exist yet.
    ///
    /// - Throws: a ``Failure`` when it is in use, or when it is damaged in a way that shows without reading all of it.
    package init(path: String, every interval: Duration?, logger: Logger) throws(Failure) {
        self.path = path
        self.interval = interval
        self.logger = logger
        do throws(DiskImageError) {
            image = try DiskImage(path: path)
        } catch {
            throw Failure(opening: error)
        }
        do throws(Errno) {
            wakeUp = try EventFD()
        } catch {
            throw .system("cannot create an event descriptor: \(error)")
        }
    }

    /// The size of the disk that was saved, in bytes; nil when there is no image.
    package var size: UInt64? { image.info?.size }

    /// The name of the disk's export; empty before ``restore(_:export:)``.
    var export: String { state.withLock { $0.stats.export } }

    // MARK: - Start

    /// Whether the image is large enough to be restored while the disk is served. Restoring a small one first takes
    /// little time, and a damaged one then keeps the server from starting.
    package var isRestoredLate: Bool {
        image.dataBytes.map { $0 > Self.mostBytesRestoredFirst } ?? false
    }

    /// The most bytes of data that are restored before the disk is served: 16 MiB take 10 ms from the page cache, and
    /// 0.1 s from a slow disk.
    private static let mostBytesRestoredFirst: UInt64 = 16 << 20

    /// Restores a disk that is not served yet, unless it already has content, from an existing backing. A disk with
    /// late contents is restored while it is served.
    ///
    /// - Parameter showsProgress: whether a terminal shows the progress even while the disk is served.
    /// - Throws: a ``Failure`` when the image is damaged or does not fit. The server must not start empty then.
    package func restore(
        _ disk: RamDisk, export: String, showsProgress: Bool = true
    ) throws(Failure) {
        let isNew = disk.inheritance == .none
        let isLate = disk.lateContents != nil
        if isNew {
            if !isLate { try fill(disk) }
        } else {
            logger.notice(
                "the backing has content already, so the image is not restored",
                metadata: ["image": "\(path)"])
        }
        // What has changed in an existing backing since the image was saved is unknown.
        let marker = isNew ? try Self.snapshot(of: disk).makeMarker() : nil
        state.withLock { state in
            state.disk = disk
            state.marker = marker
            state.stats = SaveStats(export: export, image: path)
            state.stats.intervalSeconds = interval.map { $0 / .seconds(1) }
            state.stats.generation = image.info?.generation ?? 0
            state.stats.savedUnixSeconds = image.info?.savedAt.map { Double($0) }
        }
        // Only after the marker: a disk with incomplete contents cannot have a snapshot.
        if isLate { try fillLate(disk, showsProgress: showsProgress) }
    }

    private func fill(_ disk: RamDisk) throws(Failure) {
        let meter = ProgressLine("restoring \(path)")
        defer { meter.end() }
        let start = MonotonicTime.now()
        do throws(DiskImageError) {
            guard
                let info = try image.restore(
                    into: disk, progress: { meter.show($0.bytesDone, of: $0.bytesTotal) })
            else {
                return logger.notice(
                    "there is no image yet; the disk starts empty", metadata: ["image": "\(path)"])
            }
            Self.log(restored: path, info.generation, since: start, logger)
        } catch {
            throw Failure(opening: error)
        }
    }

    private static func log(
        restored path: String, _ generation: UInt64, since start: MonotonicTime, _ logger: Logger
    ) {
        let seconds = Double(MonotonicTime.now().nanoseconds - start.nanoseconds) / 1e9
        logger.notice(
            "restored the disk",
            metadata: [
                "image": "\(path)", "generation": "\(generation)",
                "seconds": "\(Units.threeDigits(seconds))",
            ])
    }

    private func fillLate(_ disk: RamDisk, showsProgress: Bool) throws(Failure) {
        let meter = showsProgress ? ProgressLine("restoring \(path)") : nil
        let start = MonotonicTime.now()
        let generation = image.info?.generation ?? 0
        do throws(DiskImageError) {
            let restoration = try image.beginRestore(to: disk) { [weak self, logger, path] event in
                switch event {
                case .progress(let progress):
                    meter?.show(progress.bytesDone, of: progress.bytesTotal)
                case .failed(let reason):
                    meter?.end()
                    logger.error(
                        "a part of the image cannot be restored: requests for it fail, and the server tries again every second",
                        metadata: ["reason": "\(reason)"])
                case .complete:
                    meter?.end()
                    self?.state.withLock { $0.restoration = nil }
                    Self.log(restored: path, generation, since: start, logger)
                }
            }
            // Unless it is complete already, and will not be released any more.
            state.withLock { $0.restoration = restoration?.isComplete == false ? restoration : nil }
        } catch {
            throw Failure(opening: error)
        }
    }

    /// Waits until the disk is restored. Throws when a part of the image cannot be restored.
    func awaitRestore() throws(Failure) {
        guard let restoration = state.withLock({ $0.restoration }) else { return }
        do throws(DiskImageError) {
            try restoration.wait()
        } catch {
            throw Failure(opening: error)
        }
    }

    /// Whether the image equals the disk, or will equal it once it is restored, since no client has written to it.
    private var isUnchangedWhileRestoring: Bool {
        let (restoration, marker) = state.withLock { ($0.restoration, $0.marker) }
        return restoration?.isComplete == false && marker?.changedBytes == 0
    }

    /// Starts to save at intervals, if ``interval`` is set.
    package func begin() throws(Failure) {
        guard let interval else { return }
        do throws(Errno) {
            let thread = try Thread(name: "save") { self.saveRepeatedly(interval) }
            state.withLock { $0.thread = thread }
        } catch {
            throw .system("cannot start a thread: \(error)")
        }
    }

    /// Sets the function that makes the disk's content consistent for the instant of a save: it freezes a file system.
    package func freeze(_ body: (@Sendable () throws(Failure) -> @Sendable () -> Void)?) {
        state.withLock { $0.freeze = body }
    }

    // MARK: - Saving

    /// Saves the disk to its image, for a server that stops: does nothing if it is still being restored and no client
    /// has written to it.
    func saveAtEnd() throws(Failure) {
        if isUnchangedWhileRestoring { return }
        try save()
    }

    /// Saves the disk to its image. Waits while another thread does, and until the disk is restored.
    ///
    /// - Throws: a ``Failure``; the last complete save is unchanged.
    @discardableResult
    package func save() throws(Failure) -> SaveStats {
        try saving.withLock { (_) throws(Failure) in
            let (disk, marker) = state.withLock { ($0.disk, $0.marker) }
            guard let disk else { throw .unavailable("the disk of \(path) is not restored yet") }
            do throws(Failure) {
                let frozen = try frozenSnapshot(of: disk)
                let result = try write(frozen, changesSince: marker)
                note(result, of: frozen)
            } catch {
                state.withLock { state in
                    state.stats.failures += 1
                    state.stats.error = error.sentence
                }
                throw error
            }
            return stats
        }
    }

    /// Saves the disk to a file, which may be its image.
    func save(to other: String) throws(Failure) -> SaveStats {
        if other == path { return try save() }
        guard let disk = state.withLock({ $0.disk }) else {
            throw .unavailable("the disk of \(path) is not restored yet")
        }
        return try SavedDisk.save(
            frozenSnapshot(of: disk), to: other, export: export)
    }

    /// Saves a disk that has no image to a file.
    static func save(
        _ disk: RamDisk, to path: String, export: String
    ) throws(Failure) -> SaveStats {
        try save(snapshot(of: disk), to: path, export: export)
    }

    /// Saves a frozen disk to a file that is not the image of a running server.
    ///
    /// - Parameter dataBytes: how many bytes may hold data; nil to ask the disk.
    static func save(
        _ frozen: any BlockStore, dataBytes: UInt64? = nil, to path: String, export: String
    ) throws(Failure) -> SaveStats {
        do throws(DiskImageError) {
            let result = try DiskImage(path: path).save(frozen, dataBytes: dataBytes)
            var stats = SaveStats(export: export, image: path)
            stats.note(result)
            return stats
        } catch {
            throw Failure(saving: error)
        }
    }

    /// Takes a snapshot. If `up` has mounted a file system on the disk, it is frozen meanwhile.
    func frozenSnapshot(of disk: RamDisk) throws(Failure) -> DiskSnapshot {
        // Before the freeze, during which programs wait.
        try awaitRestore()
        return try freezing.withLock { (_) throws(Failure) in
            let thaw = try state.withLock { $0.freeze }?()
            defer { thaw?() }
            return try Self.snapshot(of: disk)
        }
    }

    static func snapshot(of disk: RamDisk) throws(Failure) -> DiskSnapshot {
        do throws(SnapshotError) {
            return try disk.makeSnapshot()
        } catch {
            throw .unavailable("cannot take a snapshot of the disk: \(error)")
        }
    }

    private func write(
        _ frozen: DiskSnapshot, changesSince marker: DiskSnapshot.Marker?
    ) throws(Failure) -> SaveResult {
        do throws(DiskImageError) {
            return try image.save(
                frozen, changes: marker.map { Changes(of: frozen, since: $0) })
        } catch {
            throw Failure(saving: error)
        }
    }

    private func note(_ result: SaveResult, of frozen: DiskSnapshot) {
        let marker = frozen.makeMarker()
        let stats = state.withLock { state in
            state.marker = marker
            state.stats.note(result)
            return state.stats
        }
        logger.info(
            "saved the disk",
            metadata: [
                "image": "\(path)", "generation": "\(stats.generation)",
                "written": "\(result.imageBytes)",
                "seconds": "\(Units.threeDigits(stats.seconds ?? 0))",
            ])
    }

    private func saveRepeatedly(_ interval: Duration) {
        while true {
            _ = try? PollSource.poll(
                [.event(wakeUp)], milliseconds: interval.wholeMilliseconds)
            let (isOver, restoration) = state.withLock { ($0.isOver, $0.restoration) }
            if isOver { return }
            // A save would wait for the restore, and a stop of the server would wait for the save.
            if let restoration, !restoration.isComplete, restoration.failure == nil { continue }
            do throws(Failure) {
                try save()
            } catch {
                logger.error(
                    "the disk was not saved; the save before is unchanged",
                    metadata: ["reason": "\(error.sentence)"])
            }
        }
    }

    // MARK: - Stop

    /// Ends saving at intervals. Returns when a running save is complete.
    package func stopIntervals() {
        let thread = state.withLock { state in
            state.isOver = true
            return state.thread.take()
        }
        wakeUp.signal()
        thread?.join()
    }

    // MARK: - Statistics

    /// The state of the saves.
    package var stats: SaveStats {
        let (stats, marker, disk, restoration) = state.withLock {
            ($0.stats, $0.marker, $0.disk, $0.restoration)
        }
        var result = stats
        if let restoration, !restoration.isComplete {
            let progress = restoration.progress
            result.restore = RestoreStats(
                bytesDone: progress.bytesDone, bytesTotal: progress.bytesTotal,
                error: restoration.failure)
        }
        result.dirtyBytes = marker?.changedBytes ?? disk?.size ?? 0
        return result
    }
}

extension SaveStats {
    fileprivate mutating func note(_ result: SaveResult) {
        generation = result.generation
        savedUnixSeconds = Date().timeIntervalSince1970
        writtenBytes = result.imageBytes
        seconds = result.duration / .seconds(1)
        saves += 1
        error = nil
    }
}

/// The ranges of a disk that have changed between two instants.
private struct Changes: Sequence, IteratorProtocol {
    private let snapshot: DiskSnapshot
    private let marker: DiskSnapshot.Marker
    private var offset: UInt64 = 0

    init(of snapshot: DiskSnapshot, since marker: DiskSnapshot.Marker) {
        self.snapshot = snapshot
        self.marker = marker
    }

    mutating func next() -> Range<UInt64>? {
        guard let range = snapshot.nextChange(since: marker, from: offset) else { return nil }
        offset = range.upperBound
        return range
    }
}

extension Failure {
    /// An image cannot be opened or restored.
    fileprivate init(opening error: DiskImageError) {
        switch error {
        case .inUse, .noMemory: self.init(.unavailable, "\(error)")
        default: self.init(.noInput, "\(error)")
        }
    }

    /// A disk cannot be saved.
    fileprivate init(saving error: DiskImageError) {
        switch error {
        case .inUse, .cancelled: self.init(.unavailable, "\(error)")
        // A snapshot that was saved, and is lost.
        case .unreadableDisk: self.init(.inputOutput, "\(error); see --snapshot-memory")
        default: self.init(.inputOutput, "\(error)")
        }
    }
}
