// The map of memory that was there before it.

internal import LinuxIO
internal import SystemPackage

extension AllocationMap {
    /// Marks the pages that the file system says have been written; for memory with holes. As fast as
    /// it has runs, whatever its size.
    func markWritten(of memory: borrowing SharedMemory) throws(Errno) {
        let pageSize = DiskPages.pageSize
        var place = 0
        while let run = try memory.nextData(from: place) {
            mark(run.lowerBound / pageSize..<min(pageCount, (run.upperBound - 1) / pageSize + 1))
            place = run.upperBound
        }
    }

    /// Marks the pages in which something is not zero; for memory without holes. It has to be read
    /// for that, which every processor helps with.
    func markNonzero(in region: MemoryRegion) {
        inShares(of: pageCount, worth: DiskMemory.pagesWorthAThread) { pages in
            markNonzero(pages, in: region)
        }
    }

    private func markNonzero(_ pages: Range<Int>, in region: MemoryRegion) {
        let pageSize = DiskPages.pageSize
        for page in pages where !region.slice(at: page * pageSize, count: pageSize).isZero {
            mark(page..<page + 1)
        }
    }
}
