// Whether there is anything on a disk.

extension RamDisk {
    /// Whether every byte is certainly zero: nothing was ever written, or all of it was trimmed.
    public var isBlank: Bool {
        let count = pages.map.pageCount
        return pages.map.first(marked: true, from: 0, limit: count) == count
    }
}
