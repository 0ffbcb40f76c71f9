internal import LinuxIO

/// The pages of a template that a clone still shows.
///
/// A clone is a sparse disk. A page of it shows the template's page until it is changed; then it is *hidden* for
/// good. Two bits say where the bytes of a page are:
///
/// | the clone's map | hidden | the bytes are |
/// | --- | --- | --- |
/// | marked | any | in the clone's memory |
/// | clear | yes | nowhere: the page is zero |
/// | clear | no | in the template |
///
/// The template never changes, so replies are sent from its memory without pins.
///
/// Before a page is written it gets memory with the template's bytes, since a write may touch a part of it, and a
/// client may vanish in the middle of its payload. The thread that does that, and the thread that hides pages
/// because a client trims them, hold the lock for provisioning (``PagePins/beginProvisioning()``), so none copies
/// a page that another has hidden. The first thread sets the page's mark before it hides it, and a thread that
/// looks for the bytes reads "hidden" before it reads the mark. So it never takes a page that is being copied for
/// a zero page.
///
/// Every method is safe to call from any thread.
struct TemplatePages: Sendable, BitwiseCopyable {
    /// All bytes of the template, up to the end of the last page.
    let region: MemoryRegion
    /// The template's pages that may hold data.
    private let map: AllocationMap
    /// The clone's pages that no longer show the template.
    private let hidden: AllocationMap
    /// One word: the bytes that are counted for this clone.
    private let counted: AtomicWords
    /// The memory that all clones of the template take.
    private let budget: CloneBudget

    /// Shows all of a template in a clone.
    ///
    /// - Parameter memory: ``byteCount(of:)`` bytes that are zero.
    init(_ template: DiskTemplate, memory: MemoryRegion) {
        let pages = template.disk.pages
        region = pages.region
        map = pages.map
        budget = template.budget
        counted = AtomicWords(memory.slice(at: 0, count: 8))
        hidden = AllocationMap(pageCount: map.pageCount, memory: memory.suffix(from: 8))
    }

    /// Bytes of memory that a clone with `pageCount` pages needs for this.
    static func byteCount(of pageCount: Int) -> Int { 8 + AllocationMap.byteCount(of: pageCount) }

    /// Whether no page was hidden yet.
    var isShownWhole: Bool {
        hidden.first(marked: true, from: 0, limit: hidden.pageCount) == hidden.pageCount
    }

    /// Whether a page that the clone has no memory for shows data.
    @inline(__always)
    func showsData(_ page: Int) -> Bool { !hidden.isMarked(page) && map.isMarked(page) }

    /// Returns the pages of a word of the clone's map that have their bytes in a source.
    func pages(_ source: DiskExtent.Source, word index: Int, of own: AllocationMap) -> UInt64 {
        // In this order; see above.
        let shown = ~hidden.word(index)
        let marked = own.word(index)
        return switch source {
        case .disk: marked
        case .template: ~marked & shown & map.word(index)
        case .none: ~marked & ~(shown & map.word(index))
        }
    }

    /// Copies the data that pages without memory show to the clone's memory, which is zero there. The caller holds
    /// the lock for provisioning.
    func copy(_ pages: Range<Int>, to clone: MemoryRegion) {
        let pageSize = DiskPages.pageSize
        for page in pages where showsData(page) {
            let start = page * pageSize
            clone.slice(at: start, count: pageSize)
                .copy(from: region.slice(at: start, count: pageSize))
        }
    }

    /// Hides pages. The caller holds the lock for provisioning.
    func hide(_ pages: Range<Int>) { hidden.mark(pages) }

    /// Counts that the clone takes a number of bytes, and returns true, unless that is more than its template's clones
    /// may take. The caller holds the lock for provisioning.
    func count(_ bytes: Int) -> Bool {
        let old = counted.load(0)
        guard budget.replace(old, with: UInt64(bytes)) else { return false }
        counted.store(0, UInt64(bytes))
        return true
    }

    /// Ends the counting. No other thread uses the clone any more.
    func uncount() { _ = budget.replace(counted.exchange(0, 0), with: 0) }
}

/// The memory that all clones of one template take. Each clone alone may take what is available when it is made, but a
/// thousand of them together may not.
struct CloneBudget: Sendable, BitwiseCopyable {
    /// The bytes that are taken, and the most that may be.
    private let words: AtomicWords

    /// Bytes of memory that it needs.
    static var byteCount: Int { 16 }

    /// A budget in memory that is zero, without room for anything.
    init(memory: MemoryRegion) { words = AtomicWords(memory) }

    /// Bytes that the clones take.
    var used: UInt64 { words.load(0) }

    /// Sets how many bytes the clones may take besides those that they have.
    func setRoom(_ bytes: Int) { words.store(1, used + UInt64(max(0, bytes))) }

    /// Replaces a clone's bytes, and returns true, unless they are more than before and too many.
    fileprivate func replace(_ old: UInt64, with new: UInt64) -> Bool {
        let total = words.add(0, new &- old) &+ new &- old
        guard new > old, total > words.load(1) else { return true }
        words.add(0, old &- new)
        return false
    }
}

// MARK: - Clones

extension DiskPages {
    /// Returns where the bytes of a page are.
    func source(of page: Int) -> DiskExtent.Source {
        guard let template else { return map.isMarked(page) ? .disk : .none }
        // In this order; see TemplatePages.
        let shows = template.showsData(page)
        return map.isMarked(page) ? .disk : shows ? .template : .none
    }

    /// Returns the extent at the start of a range of a clone. With `joinsData`, it continues where the data is in the
    /// other source; its own source is then that of its first page.
    func extentOfClone(
        at offset: UInt64, count: UInt64, joinsData: Bool = false
    ) -> DiskExtent {
        let pages = pages(touchedAt: offset, count: count)
        let source = source(of: pages.lowerBound)
        let isJoined = joinsData && source != .none
        let end = first(
            where: isJoined ? .none : source, is: isJoined, from: pages.lowerBound + 1,
            limit: pages.upperBound)
        return DiskExtent(count: min(count, bytes(end) - offset), source: source)
    }

    /// Returns how far a range, from its start on, either is empty or may hold data, wherever that is.
    func allocation(at offset: UInt64, count: UInt64) -> DiskExtent {
        guard template != nil else { return extent(at: offset, count: count) }
        return extentOfClone(at: offset, count: count, joinsData: true)
    }

    /// Returns bytes of the template.
    @inline(__always)
    func templateData(at offset: UInt64, count: UInt64) -> MemoryRegion {
        guard let template else { preconditionFailure("only a clone has a template") }
        return template.region.slice(at: Int(offset), count: Int(count))
    }

    /// Returns the first page in `page..<limit` that may hold data; `limit` if there is none.
    func firstWithData(from page: Int, limit: Int) -> Int {
        if template != nil { return first(where: .none, is: false, from: page, limit: limit) }
        return map.first(marked: true, from: page, limit: limit)
    }

    /// Returns the first page of a clone in `page..<limit` whose bytes are in a source, or are not; `limit` if there is
    /// none.
    private func first(
        where source: DiskExtent.Source, is isThere: Bool, from page: Int, limit: Int
    ) -> Int {
        guard let template else { preconditionFailure("only a clone has a template") }
        var page = page
        while page < limit {
            let there = template.pages(source, word: page / 64, of: map)
            let ahead = (isThere ? there : ~there) >> UInt64(page % 64)
            if ahead != 0 { return min(limit, page + ahead.trailingZeroBitCount) }
            page = (page / 64 + 1) * 64
        }
        return limit
    }

    /// Hides the template's data in `inside`, whose pages are about to be zeroed. First gives the other touched pages
    /// memory with the template's bytes, since a part of each remains; returns false when there is none. Does nothing
    /// unless the disk is a clone.
    func hideTemplate(
        _ touched: Range<Int>, inside: Range<Int>, _ shared: SharedMemoryHandle
    ) -> Bool {
        guard let template else { return true }
        for page in touched where !inside.contains(page) && source(of: page) == .template {
            pins.pin(page..<page + 1)
            defer { pins.unpin(page..<page + 1) }
            guard provision(page..<page + 1, from: shared) else { return false }
        }
        pins.beginProvisioning()
        defer { pins.endProvisioning() }
        template.hide(inside)
        return true
    }

    /// Counts what a clone takes after it has released memory. Does nothing unless the disk is a clone.
    func countMemory(_ shared: SharedMemoryHandle) {
        guard let template else { return }
        pins.beginProvisioning()
        defer { pins.endProvisioning() }
        _ = template.count(shared.residentBytes)
    }
}
