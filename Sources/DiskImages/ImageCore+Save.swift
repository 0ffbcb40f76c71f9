internal import Glibc
internal import LinuxIO
internal import SystemPackage

extension ImageCore {
    /// Saves a disk; see ``DiskImage/save(_:changes:progress:isCancelled:)``.
    mutating func save(
        _ source: FrozenSource, changes: (any Sequence<Range<UInt64>>)?, monitor: TransferMonitor
    ) throws(DiskImageError) -> SaveResult {
        let start = ContinuousClock.now
        let present = try files.status(of: .image)
        let isKnown = baseline != nil && baseline == present
        // A save that fails leaves the image as it was, or as a journal will complete it. Both are known.
        defer { if isKnown { setBaseline() } }
        state = try files.recover()
        var kind = SaveResult.Kind.full
        var written: (image: UInt64, side: UInt64) = (0, 0)
        if isKnown, let changes, let base = state, base.size == source.size {
            let pages = PageRanges(touchedBy: changes, size: source.size)
            if pages.isEmpty {
                kind = .unchanged
            } else if try pages.byteCount <= source.allocatedBytes() / 2 {
                kind = .incremental
                written = try saveChanges(pages, of: source, since: base, monitor: monitor)
            }
        }
        if kind == .full { written = try saveAll(source, monitor: monitor) }
        setBaseline()
        return SaveResult(
            kind: kind, generation: state?.generation ?? 0, imageBytes: written.image,
            sideBytes: written.side, duration: ContinuousClock.now - start)
    }

    private mutating func setBaseline() {
        // Without a status the next save is a full one.
        baseline = try? files.status(of: .image)
    }

    /// Returns the state of a save that begins now, without its checksums.
    private func nextState(size: UInt64) -> ImageState {
        ImageState(
            size: size, generation: (state?.generation ?? 0) + 1,
            savedAt: UInt64(max(0, time(nil))), checksums: [:])
    }

    // MARK: - Full

    /// Saves all data to a new file, which then replaces the image. Returns the bytes written to it and beside it.
    private mutating func saveAll(
        _ source: FrozenSource, monitor: TransferMonitor
    ) throws(DiskImageError) -> (image: UInt64, side: UInt64) {
        var newState = nextState(size: source.size)
        var written: (image: UInt64, side: UInt64) = (0, 0)
        do throws(DiskImageError) {
            written.image = try writeDraft(of: source, checksums: &newState, monitor: monitor)
            // The draft of a state without that of an image would seem to describe the image.
            try files.syncDirectory()
            written.side = try files.prepareState(newState)
            // The draft of the state counts as soon as that of the image has the image's name.
            try files.syncDirectory()
            try monitor.checkCancelled()
        } catch {
            removeDrafts()
            throw error
        }
        do throws(DiskImageError) {
            try files.rename(.draft, to: .image)
        } catch {
            removeDrafts()
            throw error
        }
        try files.syncDirectory()
        try files.publishState()
        state = newState
        return written
    }

    /// Writes all data to a new file, and syncs it. Returns how many bytes that were.
    private func writeDraft(
        of source: FrozenSource, checksums state: inout ImageState, monitor: TransferMonitor
    ) throws(DiskImageError) -> UInt64 {
        let total = try source.allocatedBytes()
        var draft = try EditedFile(creating: .draft, of: files)
        if let image = try files.status(of: .image) { try draft.copyAccess(from: image) }
        try draft.resize(to: source.size)
        var buffer = try ChunkBuffer()
        var chunks = DataChunks(of: source)
        var done: UInt64 = 0
        while let chunk = try chunks.next() {
            try monitor.checkCancelled()
            try buffer.load(chunk, from: source)
            if buffer.checksum != 0 { state.checksums[chunk] = buffer.checksum }
            try buffer.forEachRun(of: buffer.pages) { (pages, holdsData) throws(DiskImageError) in
                guard holdsData else { return }
                try draft.write(
                    buffer.region(of: pages), at: buffer.bytes(of: pages).lowerBound)
            }
            done += UInt64(buffer.loadedCount)
            monitor.report(TransferProgress(bytesDone: min(done, total), bytesTotal: total))
        }
        try draft.sync()
        return draft.bytesWritten
    }

    /// Removes what a full save has written that did not replace the image, in the order in which
    /// ``ImageFiles/recover()`` does. The next save removes what remains.
    private func removeDrafts() {
        do throws(DiskImageError) {
            guard try files.exists(.draft) else { return }
            if try files.exists(.stateDraft) {
                try files.remove(.stateDraft)
                try files.syncDirectory()
            }
            try files.remove(.draft)
        } catch {
            // The caller reports the error that was first.
        }
    }

    // MARK: - Incremental

    /// Saves changed pages to a journal, and moves them to the image. Returns the bytes written to the image and
    /// beside it.
    private mutating func saveChanges(
        _ pages: PageRanges, of source: FrozenSource, since base: ImageState,
        monitor: TransferMonitor
    ) throws(DiskImageError) -> (image: UInt64, side: UInt64) {
        let journalBytes = try writeJournal(pages, of: source, since: base, monitor: monitor)
        guard let journal = try Journal.open(of: files) else {
            throw .system(action: "read back", file: files.path(of: .journal), .ioError)
        }
        let finished = try files.finish(journal)
        state = finished.state
        return (finished.imageBytes, journalBytes + finished.stateBytes)
    }

    /// Writes the journal, and syncs it: the save is complete then. Returns how many bytes that were.
    private func writeJournal(
        _ pages: PageRanges, of source: FrozenSource, since base: ImageState,
        monitor: TransferMonitor
    ) throws(DiskImageError) -> UInt64 {
        var filled: [Range<UInt64>] = []
        do throws(DiskImageError) {
            var newState = nextState(size: source.size)
            newState.checksums = base.checksums
            var journal = try JournalWriter(
                of: files, size: source.size, base: base.generation)
            let data = try record(
                pages, of: source, in: &journal, checksums: &newState, monitor: monitor)
            // The image must have room for the changes, or they could not be moved there.
            let image = try EditedFile(updating: .image, of: files)
            for range in data { try image.fillHoles(of: range, recordingIn: &filled) }
            try monitor.checkCancelled()
            try journal.commit(newState)
            try files.syncDirectory()
            return journal.bytesWritten
        } catch {
            abandonJournal(filled)
            throw error
        }
    }

    /// Records changed pages, and updates the checksums of their chunks. Returns the ranges that hold data.
    private func record(
        _ pages: PageRanges, of source: FrozenSource, in journal: inout JournalWriter,
        checksums state: inout ImageState, monitor: TransferMonitor
    ) throws(DiskImageError) -> [Range<UInt64>] {
        var data: [Range<UInt64>] = []
        var buffer = try ChunkBuffer()
        var done: UInt64 = 0
        for (chunk, ranges) in pages.chunks {
            try monitor.checkCancelled()
            try buffer.load(chunk, from: source)
            state.checksums[chunk] = buffer.checksum == 0 ? nil : buffer.checksum
            for range in ranges {
                try buffer.forEachRun(of: range) { (run, holdsData) throws(DiskImageError) in
                    let bytes = buffer.bytes(of: run)
                    if holdsData {
                        try journal.appendData(buffer.region(of: run), at: bytes.lowerBound)
                        data.append(bytes)
                    } else {
                        try journal.appendZeroes(bytes)
                    }
                }
                done += UInt64(range.count * ChunkBuffer.pageSize)
            }
            monitor.report(TransferProgress(bytesDone: done, bytesTotal: pages.byteCount))
        }
        try journal.flush()
        return data
    }

    /// Removes a journal that is not complete, and releases the blocks that were allocated for it.
    private func abandonJournal(_ filled: [Range<UInt64>]) {
        do throws(DiskImageError) {
            if try files.exists(.journal) {
                try files.remove(.journal)
                try files.syncDirectory()
            }
            guard !filled.isEmpty else { return }
            let image = try EditedFile(updating: .image, of: files)
            for range in filled { try image.punchHole(range) }
        } catch {
            // The caller reports the error that was first. The next save removes the journal; blocks that were
            // allocated read as zeroes.
        }
    }
}
