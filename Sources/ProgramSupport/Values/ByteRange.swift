/// A range of bytes of a disk, from the first to the last: `0-4095`, `1M-2M`, `1M-`.
package struct ByteRange: Sendable, Equatable {
    package var first: UInt64
    /// Nil for the end of the disk.
    package var last: UInt64?

    package init(first: UInt64, last: UInt64?) {
        self.first = first
        self.last = last
    }
}
