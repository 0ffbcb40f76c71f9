package import LinuxIO
internal import SystemPackage

extension RamDisk {
    /// Writes bytes to a disk, in pages that no client uses yet. Threads may fill different pages at the same time.
    /// Markers do not count this as a change.
    ///
    /// On a sparse disk, one system call allocates and fills the pages, and another maps them. A write to the mapping
    /// would fault for each page, which took a third of the processor time of filling a sparse disk.
    ///
    /// - Returns: false when there is no memory; part of the bytes may be on the disk then.
    package func fill(_ bytes: MemoryRegion, at offset: UInt64) -> Bool {
        guard bytes.count > 0 else { return true }
        // A clone's page may show its template, which a write has to copy first.
        guard pages.template == nil else { return fillByWriting(bytes, at: offset) }
        let touched = pages.pages(touchedAt: offset, count: UInt64(bytes.count))
        guard let shared = pages.shared else {
            // No connection uses these pages, and filling a disk does not count as a change.
            pages.map.mark(touched)
            pages.slice(at: offset, count: UInt64(bytes.count)).copy(from: bytes)
            return true
        }
        guard shared.residentBytes <= pages.memoryLimit &- bytes.count else { return false }
        do throws(Errno) {
            try shared.write(bytes, at: Int(offset))
        } catch .noSpace, .noMemory {
            return false
        } catch {
            // Memory without such a call: a write to its mapping remains.
            return fillByWriting(bytes, at: offset)
        }
        pages.map.mark(touched)
        // A process that locks its memory locks pages when they are mapped, and a later touch does not fault. If there
        // is no memory for that, the pages are there all the same.
        try? pages.slice(
            at: pages.bytes(touched.lowerBound),
            count: UInt64(touched.count * DiskPages.pageSize)
        ).populate()
        return true
    }

    private func fillByWriting(_ bytes: MemoryRegion, at offset: UInt64) -> Bool {
        let count = UInt64(bytes.count)
        guard let target = pages.beginWrite(at: offset, count: count) else { return false }
        target.copy(from: bytes)
        pages.endWrite(at: offset, count: count)
        return true
    }
}
