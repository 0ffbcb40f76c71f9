internal import LinuxIO
internal import NBDProtocol

/// Extents in wire format, in memory that a ``ReplyBatch`` owns. Adjacent extents with the same flags are merged.
struct ExtentList {
    private let memory: MemoryRegion
    private let format: HeaderFormat
    /// The number of extents.
    private(set) var count = 0
    private var last = Extent(length: 0, flags: 0)

    /// An empty list.
    init(memory: MemoryRegion, format: HeaderFormat) {
        self.memory = memory
        self.format = format
    }

    /// The length of the extents in bytes.
    var byteCount: Int { count * Extent.encodedSize(format) }

    /// Whether there is room for one more.
    var hasRoom: Bool { byteCount + Extent.encodedSize(format) <= memory.count }

    /// Appends an extent; there must be room for it.
    mutating func append(_ extent: Extent) {
        if count > 0, last.flags == extent.flags {
            last.length += extent.length
        } else {
            last = extent
            count += 1
        }
        var bytes = memory.mutableSpan
        last.encode(into: &bytes, at: byteCount - Extent.encodedSize(format), as: format)
    }
}
