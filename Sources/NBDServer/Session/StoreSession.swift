internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// A custom store as one connection uses it: the store, and a buffer for what is read and written. The
/// connection's thread alone uses it.
///
/// Bytes that a reply is sent from stay where they are until it has been sent. So reads take the buffer from
/// its start to its end, and start over when no reply waits any more.
final class StoreSession {
    /// The buffer's size in bytes: one transfer.
    static var capacity: Int { 1 << 20 }
    /// The longest range in bytes that one call discards or zeroes. A server that is stopped waits for one
    /// call at most.
    static var longestZeroing: UInt64 { 64 << 20 }

    let store: any BlockStore
    /// The contexts of the export, `base:allocation` first.
    private let contexts: [MetadataContext]
    /// The late contents of a RAM disk that is served as a store until they are complete; nil for any other store.
    private let lateContents: LateContents?
    /// The buffer; nil once it is not needed any more.
    private var memory: MemoryMapping?
    private let region: MemoryRegion
    /// The bytes of the buffer from which replies are sent.
    private var used = 0
    /// Memory for a single read that must be in one piece and is longer than the buffer.
    private var large: MemoryMapping?

    /// A session with a buffer of its own. Throws when there is no memory for it.
    init(
        _ store: any BlockStore, contexts: [MetadataContext],
        until lateContents: LateContents? = nil
    ) throws(Errno) {
        self.store = store
        self.lateContents = lateContents
        self.contexts = contexts
        let memory = try MemoryMapping(privateBytes: Self.capacity)
        region = memory.region
        self.memory = consume memory
    }

    /// Whether the store is a RAM disk that can be served from its memory from now on.
    var isOver: Bool { lateContents.map { !$0.isPending } ?? false }

    /// A placeholder for a RAM disk's pages, which ``Transmission`` never uses.
    var noPages: DiskPages {
        DiskPages(
            size: 0, shared: nil, region: region, zeroes: region,
            map: AllocationMap(pageCount: 0, memory: region),
            pins: PagePins(pageCount: 0, memory: region),
            zeroing: ZeroingRanges(memory: region), memoryLimit: 0,
            versions: PageVersions(unusedIn: region))
    }

    /// Releases the buffer of a session that is over; no reply waits to be sent from it.
    func release() {
        startOver()
        memory = nil
    }

    /// Makes the whole buffer free again; no reply waits to be sent from it.
    func startOver() {
        used = 0
        large = nil
    }

    /// Returns free memory of a length up to ``capacity``; nil when there is not as much left.
    func room(_ count: Int) -> MemoryRegion? {
        count <= Self.capacity - used ? region.slice(at: used, count: count) : nil
    }

    /// Returns memory of a length above ``capacity``, until ``startOver()``.
    func makeLargeRoom(_ count: Int) throws(Errno) -> MemoryRegion {
        let memory = try MemoryMapping(privateBytes: count)
        let region = memory.region
        large = consume memory
        return region
    }

    /// Keeps the first bytes of what ``room(_:)`` has returned until ``startOver()``.
    func keep(_ count: Int) { used += count }

    /// Reads into memory, in pieces.
    func read(at offset: UInt64, into region: MemoryRegion) throws(BlockStoreError) {
        var done = 0
        while done < region.count {
            let count = min(Self.capacity, region.count - done)
            let part = region.slice(at: done, count: count)
            let place = offset + UInt64(done)
            try part.withMutableBytes { (bytes: inout MutableSpan<UInt8>) throws(BlockStoreError) in
                try store.read(at: place, into: &bytes)
            }
            done += count
        }
    }

    /// Writes what is in memory, which is at most ``capacity`` long.
    func write(_ region: MemoryRegion, at offset: UInt64) throws(BlockStoreError) {
        try region.withBytes { (bytes: Span<UInt8>) throws(BlockStoreError) in
            try store.write(bytes, at: offset)
        }
    }

    /// Returns the first extent of a range of at least one byte, whatever the store says: inside the range,
    /// not empty, and with no other flags than those of `base:allocation`.
    func firstExtent(at offset: UInt64, count: UInt64) throws(BlockStoreError) -> Extent {
        let extent = try store.firstExtent(of: offset..<offset + count)
        guard extent.length > 0 else { return Extent(length: count, status: .data) }
        return Extent(
            length: min(extent.length, count), status: extent.status.intersection(.empty))
    }

    /// Returns the first extent of a range of at least one byte in a context, by its index: inside the range,
    /// and not empty. Throws if the store says that it is empty, as no flags would be safe for every context.
    func firstExtent(
        at offset: UInt64, count: UInt64, in context: Int
    ) throws(BlockStoreError) -> Extent {
        if context == 0 { return try firstExtent(at: offset, count: count) }
        var extent = try store.firstExtent(of: offset..<offset + count, in: contexts[context])
        guard extent.length > 0 else { throw .inputOutput("the store has an extent of no bytes") }
        extent.length = min(extent.length, count)
        return extent
    }
}

/// A custom store as the hot loop carries it: a pointer, so that a copy counts no references. The
/// connection that is served keeps the session alive.
@safe struct StoreHandle: BitwiseCopyable {
    private let pointer: Unmanaged<StoreSession>

    init(_ session: StoreSession) { unsafe pointer = Unmanaged.passUnretained(session) }

    /// The session. Sound: see above.
    var session: StoreSession { unsafe pointer.takeUnretainedValue() }
}
