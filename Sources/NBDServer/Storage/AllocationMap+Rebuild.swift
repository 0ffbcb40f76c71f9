// The map of memory that was there before it.

internal import LinuxIO
internal import SystemPackage

extension AllocationMap {
    /// Marks the pages that the file system says have been written; for memory with holes. As fast as
    /// it has runs, whatever its size.
    func markWritten(of memory: borrowing SharedMemory) {
        let pageSize = DiskPages.pageSize
        var place = 0
        while let run = memory.nextData(from: place) {
            mark(run.lowerBound / pageSize..<min(pageCount, (run.upperBound - 1) / pageSize + 1))
            place = run.upperBound
        }
    }

    /// Marks the pages in which something is not zero; for memory without holes. It has to be read
    /// for that, which every processor helps with.
    func markNonzero(in region: MemoryRegion) {
        let helpers = max(1, min(Processor.onlineCount, pageCount / Self.pagesWorthAThread))
        let share = (pageCount + helpers - 1) / helpers
        let threads = (1..<helpers).map { helper in
            let part = min(pageCount, helper * share)..<min(pageCount, (helper + 1) * share)
            do throws(Errno) {
                return try Thread(name: "map") { markNonzero(part, in: region) } as Thread?
            } catch {
                markNonzero(part, in: region)
                return nil
            }
        }
        markNonzero(0..<min(pageCount, share), in: region)
        for thread in threads { thread?.join() }
    }

    /// Pages from which on another thread helps: 64 MiB of them.
    private static var pagesWorthAThread: Int { 16_384 }

    private func markNonzero(_ pages: Range<Int>, in region: MemoryRegion) {
        let pageSize = DiskPages.pageSize
        for page in pages where !region.slice(at: page * pageSize, count: pageSize).isZero {
            mark(page..<page + 1)
        }
    }
}
