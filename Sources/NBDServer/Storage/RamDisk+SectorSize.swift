// For which sectors what is on a disk was made.

internal import LinuxIO

extension RamDisk {
    /// Bytes of the smallest sectors that what is on the disk may count on.
    ///
    /// That is 512, which most devices have: file systems with blocks of 1 KiB and tables of partitions
    /// are of no use on larger ones, and what was made for larger ones is on smaller. But for a table of
    /// partitions, which is looked for in the second sector: one that is at 4096 needs sectors of
    /// that. On a blank disk anything can be made.
    public var sectorSize: Int {
        guard !isBlank else { return DiskPages.pageSize }
        let mark = Array("EFI PART".utf8)
        guard !hasBytes(mark, at: 512), hasBytes(mark, at: UInt64(DiskPages.pageSize)) else {
            return 512
        }
        return DiskPages.pageSize
    }

    private func hasBytes(_ bytes: [UInt8], at offset: UInt64) -> Bool {
        guard offset + UInt64(bytes.count) <= size else { return false }
        return pages.data(at: offset, count: UInt64(bytes.count)).bytes == bytes
    }
}
