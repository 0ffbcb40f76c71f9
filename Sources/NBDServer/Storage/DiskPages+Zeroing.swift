internal import LinuxIO
internal import SystemPackage

/// The result of zeroing a range.
enum ZeroingResult: Sendable, BitwiseCopyable {
    /// All of the range is zero.
    case done
    /// There is no memory for it.
    case noMemory
    /// The server is being stopped; a part of the range may be zero.
    case stopped
}

/// TRIM and WRITE_ZEROES.
///
/// A plain disk keeps its memory. A thread zeroes the marked pages of its range piece by piece, and
/// clears the bits of those that lie wholly inside the range
/// (``zeroMarked(at:count:clearing:stop:)``).
///
/// A sparse disk releases the memory of whole pages, run by run. A trim does the following with
/// each run:
///
/// 1. It takes the lock of the disk's memory, and becomes a releaser of the run
///    (``PagePins/tryBeginRelease(_:)``). If a reader or writer has pinned the run, it cannot. It then zeroes the pages
///    in place instead, and leaves them marked, so that a later trim releases them.
/// 2. It clears the bits of the whole pages. From here on, readers see them as empty.
/// 3. It punches a hole. A writer that arrives now waits in ``PagePins/pin(_:)``, and provisions
///    the pages again afterwards: their bits are clear.
/// 4. It ends the release, which wakes the threads that wait, and releases the lock.
///
/// Between 2 and 3 a second trim may skip a page because of its clear bit although the page still
/// holds data. Before it returns, it therefore waits for all releasers of its range
/// (``PagePins/waitForReleasers(of:)``).
///
/// Without the pins, a trim between a READ and its reply would let the reply touch pages without
/// memory. The kernel would allocate them again without a bit in the map or, with TLS in user space
/// and no memory left, raise SIGBUS.
extension DiskPages {
    /// Zeroes a range and, on a sparse disk, releases the memory of the pages that lie wholly
    /// inside it. Pages in a run that another thread has pinned are zeroed, and keep their memory.
    ///
    /// Returns soon after `stop` is set, however long the range is. Returns `noMemory` only if the
    /// kernel refuses to punch a hole, and also has no memory for the pages that have none, or if a clone has no memory
    /// for the page at an end of the range.
    @discardableResult
    func trim(at offset: UInt64, count: UInt64, stop: StopSignal? = nil) -> ZeroingResult {
        let touched = pages(touchedAt: offset, count: count)
        guard let shared else {
            return zeroMarked(
                at: offset, count: count, clearing: pages(inside: offset, count: count), stop: stop)
        }
        defer { countMemory(shared) }
        let end = offset + count == size ? bytes(map.pageCount) : offset + count
        var page = firstWithData(from: touched.lowerBound, limit: touched.upperBound)
        while page < touched.upperBound {
            if let stop, stop.isSet { return .stopped }
            let runEnd = PagePins.endOfRun(with: page)
            let start = max(offset, bytes(page))
            guard release(from: start, to: min(end, bytes(runEnd)), of: shared) else {
                return .noMemory
            }
            page = firstWithData(from: runEnd, limit: touched.upperBound)
        }
        pins.waitForReleasers(of: touched)
        return .done
    }

    /// Zeroes a range. With `keepSpace`, its pages keep their memory, and those that have none get
    /// it; if a sparse disk gets no memory for them, `noMemory` is returned and no byte has
    /// changed.
    ///
    /// Zeroes in pieces, and returns between two of them when `stop` is set.
    func writeZeroes(
        at offset: UInt64, count: UInt64, keepSpace: Bool, stop: StopSignal? = nil
    ) -> ZeroingResult {
        guard keepSpace else { return trim(at: offset, count: count, stop: stop) }
        let pages = pages(touchedAt: offset, count: count)
        // Do not pin more pages than can ever be provisioned: the words of the pins would take
        // memory.
        if shared != nil, pages.count > memoryLimit / Self.pageSize { return .noMemory }
        if shared != nil { pins.pin(pages) }
        defer { if shared != nil { pins.unpin(pages) } }
        if let shared {
            let result = provision(pages, from: shared, stop: stop)
            guard result == .done else { return result }
        }
        let none = pages.lowerBound..<pages.lowerBound
        let result = zeroMarked(at: offset, count: count, clearing: none, stop: stop)
        map.markAgain(pages)
        return result
    }

    // MARK: - Sparse disks

    /// Provisions memory for those of the pages that have none, which the caller has pinned. Returns `noMemory` before
    /// most of it is taken, unless another thread takes some meanwhile, and `stopped` between two runs.
    private func provision(
        _ pages: Range<Int>, from shared: SharedMemoryHandle, stop: StopSignal?
    ) -> ZeroingResult {
        var page = map.first(marked: false, from: pages.lowerBound, limit: pages.upperBound)
        guard page == pages.upperBound || hasRoom(for: page..<pages.upperBound, in: shared) else {
            return .noMemory
        }
        while page < pages.upperBound {
            if let stop, stop.isSet { return .stopped }
            let run = page..<min(pages.upperBound, PagePins.endOfRun(with: page))
            // Before a clone has the template's bytes: snapshots know whose a page was.
            beginChange(of: run)
            defer { endChange(of: run) }
            guard provision(run, from: shared) else { return .noMemory }
            page = map.first(marked: false, from: run.upperBound, limit: pages.upperBound)
        }
        return .done
    }

    /// Zeroes a range in one run, and releases its whole pages unless the run is pinned. Returns
    /// false when there is no memory.
    private func release(
        from start: UInt64, to end: UInt64, of shared: SharedMemoryHandle
    ) -> Bool {
        let touched = pages(touchedAt: start, count: end - start)
        let inside = pages(inside: start, count: end - start)
        beginChange(of: touched)
        defer { endChange(of: touched) }
        guard hideTemplate(touched, inside: inside, shared) else { return false }
        let punched = tryPunch(from: start, to: end, touched: touched, inside: inside, shared)
        if punched == true { return true }
        let isRefused = punched != nil
        pins.pin(touched)
        defer { pins.unpin(touched) }
        // No file system that can hold a disk refuses to punch a hole. Should one do, the pages
        // whose bits are clear by now may hold data, or have no memory.
        if isRefused, !provision(inside, from: shared) {
            map.mark(inside)
            return false
        }
        // Marked pages have memory, and keep it while this thread pins them. They stay marked, so
        // that a later trim releases them. A run is too short to check for a stop in between.
        let none = touched.lowerBound..<touched.lowerBound
        return zeroMarked(at: start, count: end - start, clearing: none, stop: nil) == .done
    }

    /// Releases a range in one run, and returns whether the kernel has; nil without a change if the run is pinned.
    private func tryPunch(
        from start: UInt64, to end: UInt64, touched: Range<Int>, inside: Range<Int>,
        _ shared: SharedMemoryHandle
    ) -> Bool? {
        pins.beginProvisioning()
        defer { pins.endProvisioning() }
        guard pins.tryBeginRelease(touched) else { return nil }
        defer { pins.endRelease(touched) }
        map.clear(inside)
        // The kernel zeroes the parts of pages at both ends, if those pages have memory.
        return punchHole(from: start, to: end, in: shared)
    }

    private func punchHole(
        from start: UInt64, to end: UInt64, in shared: SharedMemoryHandle
    ) -> Bool {
        do throws(Errno) {
            try shared.punchHole(offset: Int(start), count: Int(end - start))
            return true
        } catch {
            return false
        }
    }

    // MARK: - Zeroing in place

    /// Zeroes the marked pages of a range, piece by piece, and clears the bits of those that lie in
    /// `inside`. On a sparse disk `inside` must be empty, and the caller must have pinned the
    /// range.
    private func zeroMarked(
        at offset: UInt64, count: UInt64, clearing inside: Range<Int>, stop: StopSignal?
    ) -> ZeroingResult {
        let touched = pages(touchedAt: offset, count: count)
        var page = map.first(marked: true, from: touched.lowerBound, limit: touched.upperBound)
        while page < touched.upperBound {
            if let stop, stop.isSet { return .stopped }
            let limit = min(touched.upperBound, page + ZeroingRanges.longestPiece)
            // Search from the next page on: another thread may have cleared this one's bit by now.
            let end = map.first(marked: false, from: page + 1, limit: limit)
            let piece = part(page..<end, ofRangeAt: offset, count: count)
            beginChange(of: page..<end)
            zero(piece, clearing: (page..<end).clamped(to: inside))
            endChange(of: page..<end)
            page = map.first(marked: true, from: end, limit: touched.upperBound)
        }
        // On a sparse disk the pins keep other threads from clearing bits, so no page was skipped
        // wrongly.
        return shared == nil ? zeroPublished(at: offset, count: count, stop: stop) : .done
    }

    /// Zeroes a piece, after clearing the bits of some of its pages. These are published in a slot
    /// in the meantime; if no slot is free, their bits stay set.
    private func zero(_ piece: MemoryRegion, clearing pages: Range<Int>) {
        guard !pages.isEmpty, let published = zeroing.begin(pages) else { return piece.zero() }
        map.clear(pages)
        piece.zero()
        zeroing.end(published)
    }

    /// Zeroes the pages of a range that other threads have published: this thread may have skipped
    /// them because of their clear bits, and the other threads may not have zeroed them yet.
    ///
    /// Reads each slot once. Pages that are published later were still marked when this thread
    /// looked for marked pages.
    private func zeroPublished(
        at offset: UInt64, count: UInt64, stop: StopSignal?
    ) -> ZeroingResult {
        let touched = pages(touchedAt: offset, count: count)
        let last = zeroing.slotCount
        var published = 1
        while published <= last {
            if let pages = zeroing.pages(in: published, within: touched) {
                if let stop, stop.isSet { return .stopped }
                beginChange(of: pages)
                part(pages, ofRangeAt: offset, count: count).zero()
                endChange(of: pages)
            }
            published += 1
        }
        return .done
    }

    /// The bytes of touched pages that lie in a range.
    private func part(
        _ pages: Range<Int>, ofRangeAt offset: UInt64, count: UInt64
    ) -> MemoryRegion {
        let from = max(offset, bytes(pages.lowerBound))
        return slice(at: from, count: min(offset + count, bytes(pages.upperBound)) - from)
    }
}
