internal import LinuxIO
internal import SystemPackage

/// What became of zeroing a range.
enum ZeroingResult: Sendable, BitwiseCopyable {
    /// All of it is zero.
    case done
    /// There is no memory for it.
    case noMemory
    /// The server is being stopped: a part of it may be zero.
    case stopped
}

extension DiskPages {
    /// Makes every byte of a range zero, and gives its whole pages back if the disk is sparse. Pages
    /// that somebody reads or writes at that moment, or near to, are zero and stay. There may be no memory
    /// when the kernel does not give pages back, and has none for what is no page yet either.
    ///
    /// Returns soon after `stop` is set, however long the range is.
    @discardableResult
    func trim(at offset: UInt64, count: UInt64, stop: StopSignal? = nil) -> ZeroingResult {
        let touched = pages(touchedAt: offset, count: count)
        guard let shared else {
            return zeroMarked(
                at: offset, count: count, clearing: pages(inside: offset, count: count), stop: stop)
        }
        let end = offset + count == size ? bytes(map.pageCount) : offset + count
        var page = map.first(marked: true, from: touched.lowerBound, limit: touched.upperBound)
        while page < touched.upperBound {
            if let stop, stop.isSet { return .stopped }
            let runEnd = PagePins.endOfRun(with: page)
            let start = max(offset, bytes(page))
            guard giveBack(from: start, to: min(end, bytes(runEnd)), to: shared) else {
                return .noMemory
            }
            page = map.first(marked: true, from: runEnd, limit: touched.upperBound)
        }
        // What was passed over may have lost its mark to a thread that is not done with it.
        claims.waitForTakers(of: touched)
        return .done
    }

    /// Makes every byte of a range zero. With `keepSpace` its pages stay, or become, provisioned; when a
    /// sparse disk has got no memory for that, no byte has changed.
    ///
    /// Zeroes in pieces, and returns between two of them when `stop` is set.
    func writeZeroes(
        at offset: UInt64, count: UInt64, keepSpace: Bool, stop: StopSignal? = nil
    ) -> ZeroingResult {
        guard keepSpace else { return trim(at: offset, count: count, stop: stop) }
        let pages = pages(touchedAt: offset, count: count)
        // More pages than there can ever be are not even counted: the counts would take memory.
        if shared != nil, pages.count > mostMemory / Self.pageSize { return .noMemory }
        if shared != nil { claims.pin(pages) }
        defer { if shared != nil { claims.unpin(pages) } }
        if let shared, !provision(pages, from: shared) { return .noMemory }
        let none = pages.lowerBound..<pages.lowerBound
        let result = zeroMarked(at: offset, count: count, clearing: none, stop: stop)
        map.markAgain(pages)
        return result
    }

    /// Makes a range in one run of pages zero, and gives its whole pages back unless somebody uses them.
    /// False when there is no memory.
    private func giveBack(
        from start: UInt64, to end: UInt64, to shared: SharedMemoryHandle
    ) -> Bool {
        let touched = pages(touchedAt: start, count: end - start)
        let inside = pages(inside: start, count: end - start)
        var isRefused = false
        if claims.tryBeginRelease(touched) {
            defer { claims.endRelease(touched) }
            map.clear(inside)
            // The kernel zeroes what is less than a page, where there is a page.
            if punch(from: start, to: end, out: shared) { return true }
            isRefused = true
        }
        claims.pin(touched)
        defer { claims.unpin(touched) }
        // No file system that disks are in refuses to. What has lost its mark may hold data, or be no page.
        if isRefused, !provision(inside, from: shared) {
            map.mark(inside)
            return false
        }
        // Marked pages have memory, and keep it as long as this uses them. The marks stay, so that a
        // later trim gives them back. A run is short enough not to look for a stop.
        let none = touched.lowerBound..<touched.lowerBound
        return zeroMarked(at: start, count: end - start, clearing: none, stop: nil) == .done
    }

    private func punch(
        from start: UInt64, to end: UInt64, out shared: SharedMemoryHandle
    ) -> Bool {
        do throws(Errno) {
            try shared.punchHole(offset: Int(start), count: Int(end - start))
            return true
        } catch {
            return false
        }
    }

    /// Zeroes what may hold data in a range, piece by piece, and clears the marks of those pages of a
    /// piece that lie in `inside`. Only a plain disk's marks may be cleared so.
    private func zeroMarked(
        at offset: UInt64, count: UInt64, clearing inside: Range<Int>, stop: StopSignal?
    ) -> ZeroingResult {
        let touched = pages(touchedAt: offset, count: count)
        var page = map.first(marked: true, from: touched.lowerBound, limit: touched.upperBound)
        while page < touched.upperBound {
            if let stop, stop.isSet { return .stopped }
            let limit = min(touched.upperBound, page + ZeroingRanges.longestPiece)
            // From the next page on: this one's mark may be gone again by now.
            let end = map.first(marked: false, from: page + 1, limit: limit)
            let piece = part(page..<end, ofRangeAt: offset, count: count)
            zero(piece, clearing: (page..<end).clamped(to: inside))
            page = map.first(marked: true, from: end, limit: touched.upperBound)
        }
        // Of a sparse disk's pages nobody else clears the marks meanwhile.
        return shared == nil ? zeroWhatOthersZero(at: offset, count: count, stop: stop) : .done
    }

    /// Zeroes a piece after it has cleared the marks of some of its pages. While it does, they are in
    /// a slot; where none is free, they keep their marks.
    private func zero(_ piece: MemoryRegion, clearing pages: Range<Int>) {
        guard !pages.isEmpty, let slot = zeroing.begin(pages) else { return piece.zero() }
        map.clear(pages)
        piece.zero()
        zeroing.end(slot)
    }

    /// Another thread may have cleared marks and not be done with zeroing: "certainly zero" is not certain
    /// there, and what was passed over is zeroed by hand. Each slot is looked at once: what comes into
    /// it later had its mark when it was looked for.
    private func zeroWhatOthersZero(
        at offset: UInt64, count: UInt64, stop: StopSignal?
    ) -> ZeroingResult {
        let touched = pages(touchedAt: offset, count: count)
        let slotCount = zeroing.slotCount
        var slot = 1
        while slot <= slotCount {
            if let pages = zeroing.pages(in: slot, within: touched) {
                if let stop, stop.isSet { return .stopped }
                part(pages, ofRangeAt: offset, count: count).zero()
            }
            slot += 1
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
