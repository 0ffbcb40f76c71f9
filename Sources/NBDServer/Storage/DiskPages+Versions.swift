internal import LinuxIO

/// Changes of pages, and pages as snapshots show them. ``PageVersions`` has the reasons.
extension DiskPages {
    /// Announces that the calling thread is about to change pages, and preserves those that a snapshot
    /// shows. To be followed by ``endChange(of:)``, as soon as the bytes do not change any more.
    @inline(__always)
    func beginChange(of pages: Range<Int>) {
        if versions.announce(pages, in: slot) { preserve(pages) }
    }

    /// Announces that the change has ended.
    @inline(__always)
    func endChange(of pages: Range<Int>) { versions.conclude(pages, in: slot) }

    /// Preserves those of the pages that were not changed in this epoch.
    func preserve(_ pages: Range<Int>) {
        let epoch = versions.epoch
        guard epoch != 0 else { return }
        for page in pages where !versions.isCurrent(page, in: epoch) { preserve(page) }
    }

    private func preserve(_ page: Int) {
        var state = versions.lock(page)
        // Read under the lock: snapshots may have come and gone since.
        let epoch = versions.epoch
        let newest = versions.newestSnapshot
        if state.birth < epoch {
            if state.birth < newest { addVersion(page, &state, epoch, newest) }
            // First: once the birth is there, any thread may change the bytes, and the server may be killed.
            bitmaps?.mark(page)
            state.birth = epoch
        }
        versions.unlock(page, state)
    }

    /// Copies a locked page to a new version.
    private func addVersion(
        _ page: Int, _ state: inout PageVersions.Page, _ epoch: UInt64, _ newest: UInt64
    ) {
        let pages = page..<page + 1
        if shared != nil { pins.pin(pages) }
        defer { if shared != nil { pins.unpin(pages) } }
        let source = source(of: page)
        let bytes = liveBytes(page, in: source)
        guard let version = versions.allocate(withBytes: bytes != nil) else {
            return versions.loseSnapshots(newest)
        }
        if let bytes { versions.bytes(version).copy(from: bytes) }
        versions.set(
            version, last: epoch, birth: state.birth, showsTemplate: source == .template,
            older: state.newest)
        state.newest = version
    }

    /// The bytes of a page at present, which are in a source; nil when it is certainly zero.
    private func liveBytes(_ page: Int, in source: DiskExtent.Source) -> MemoryRegion? {
        let start = page * Self.pageSize
        return switch source {
        case .disk: region.slice(at: start, count: Self.pageSize)
        case .template: templateData(at: UInt64(start), count: UInt64(Self.pageSize))
        case .none: nil
        }
    }

    // MARK: - As a snapshot shows them

    /// A page as a snapshot shows it.
    enum PreservedPage {
        case zeroes
        /// The bytes, which do not change during the call.
        case bytes(MemoryRegion)
        /// There was no memory to preserve it.
        case lost
    }

    /// Calls `body` with a page as a snapshot shows it, and with its birth.
    func withPage<Result>(
        _ page: Int, at snapshot: UInt64, _ body: (PreservedPage, _ birth: UInt64) -> Result
    ) -> Result {
        let state = versions.lock(page)
        defer { versions.unlock(page, state) }
        if state.birth < snapshot { return withLivePage(page) { body($0, state.birth) } }
        let version = versions.version(of: state, at: snapshot)
        guard version != 0 else { return body(.lost, 0) }
        let birth = versions.birth(version)
        return versions.hasBytes(version)
            ? body(.bytes(versions.bytes(version)), birth) : body(.zeroes, birth)
    }

    /// A page that was not changed since the snapshot. The caller has locked it, so no thread changes it.
    private func withLivePage<Result>(_ page: Int, _ body: (PreservedPage) -> Result) -> Result {
        let pages = page..<page + 1
        if shared != nil { pins.pin(pages) }
        defer { if shared != nil { pins.unpin(pages) } }
        return liveBytes(page, in: source(of: page)).map { body(.bytes($0)) } ?? body(.zeroes)
    }

    /// Whether a page of a clone showed the template at a snapshot.
    func showsTemplate(_ page: Int, at snapshot: UInt64) -> Bool {
        let state = versions.lock(page)
        defer { versions.unlock(page, state) }
        if state.birth < snapshot { return source(of: page) == .template }
        let version = versions.version(of: state, at: snapshot)
        return version != 0 && versions.showsTemplate(version)
    }
}
