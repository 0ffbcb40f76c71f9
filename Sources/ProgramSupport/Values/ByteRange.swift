/// A range of bytes of a disk, from the first to the last: `0-4095`, `1M-2M`, `1M-`.
package struct ByteRange: Sendable, Equatable {
    package var first: UInt64
    /// Nil for the end of the disk.
    package var last: UInt64?

    package init(first: UInt64, last: UInt64?) {
        self.first = first
        self.last = last
    }

    /// Parses such a text; nil for any other.
    package init?(parsing text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let first = try? ByteCount(parsing: String(parts[0])) else {
            return nil
        }
        self.init(first: first.bytes, last: nil)
        guard !parts[1].isEmpty else { return }
        guard let last = try? ByteCount(parsing: String(parts[1])), last.bytes >= first.bytes else {
            return nil
        }
        self.last = last.bytes
    }
}
