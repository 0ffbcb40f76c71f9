internal import LinuxIO
internal import NBDProtocol

/// Extents, written as they travel into memory that somebody else owns. Neighbours of one status
/// become one.
struct ExtentList {
    private let memory: MemoryRegion
    private let format: HeaderFormat
    /// Extents in it.
    private(set) var count = 0
    private var last = Extent(length: 0, status: .data)

    /// An empty list.
    init(memory: MemoryRegion, format: HeaderFormat) {
        self.memory = memory
        self.format = format
    }

    /// Bytes that the extents take up.
    var byteCount: Int { count * Extent.encodedSize(format) }

    /// Whether there is room for another.
    var hasRoom: Bool { byteCount + Extent.encodedSize(format) <= memory.count }

    /// Adds one; there must be room.
    mutating func append(_ extent: Extent) {
        if count > 0, last.status == extent.status {
            last.length += extent.length
        } else {
            last = extent
            count += 1
        }
        var bytes = memory.mutableSpan
        last.encode(into: &bytes, at: byteCount - Extent.encodedSize(format), as: format)
    }
}
