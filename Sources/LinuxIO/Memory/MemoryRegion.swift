public import CLinux

/// Bytes of memory that somebody else owns: a slice of a mapping, or of a connection's buffer.
///
/// It is safe to use as long as its owner lives, which is the one thing that the compiler does not
/// check here: regions are handed out by ``MemoryMapping``, and whoever keeps one keeps the mapping.
/// Slicing is checked in every build, so a region never reaches past the memory it was cut from.
/// Two threads may touch the same bytes at once, as two programs may with any disk: what is read
/// then is some mixture of old and new, and nothing else can go wrong.
@safe @frozen public struct MemoryRegion: @unchecked Sendable, BitwiseCopyable {
    /// Bytes in it.
    public let count: Int
    @usableFromInline package let base: UnsafeMutableRawPointer

    @inlinable @inline(__always)
    init(base: UnsafeMutableRawPointer, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    /// `count` bytes from `offset` on; traps when they are not all inside.
    @inlinable @inline(__always)
    public func slice(at offset: Int, count: Int) -> MemoryRegion {
        precondition(
            offset >= 0 && count >= 0 && offset <= self.count && count <= self.count &- offset)
        // Sound: the line above.
        return unsafe MemoryRegion(base: base + offset, count: count)
    }

    /// All bytes from `offset` on.
    @inlinable @inline(__always)
    public func suffix(from offset: Int) -> MemoryRegion {
        slice(at: offset, count: count &- offset)
    }

    /// Copies a whole region of the same size here; they may overlap. memmove(3)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func copy(from source: MemoryRegion) {
        precondition(source.count == count)
        unsafe memmove(base, source.base, count)
    }

    /// Copies a whole region of the same size here, which must not overlap, past the caches: for what
    /// will not be looked at soon.
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func copyPastCache(from source: MemoryRegion) {
        precondition(source.count == count)
        unsafe clinux_copy_past_cache(base, source.base, count)
    }

    /// Makes every byte zero. memset(3)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func zero() {
        unsafe memset(base, 0, count)
    }

    /// Whether every byte is zero. memcmp(3)
    public var isZero: Bool {
        // Sound: the first is zero and each is equal to the one before it, all inside the region.
        guard count > 0 else { return true }
        return unsafe base.load(as: UInt8.self) == 0 && memcmp(base, base + 1, count - 1) == 0
    }

    /// Copies bytes of an array to the start; traps when they are too many.
    public func copy(from bytes: [UInt8]) {
        precondition(bytes.count <= count)
        // Sound: the array's own bounds, checked against ours above.
        unsafe bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { unsafe memcpy(base, start, source.count) }
        }
    }

    /// The bytes as an array of their own.
    public var bytes: [UInt8] {
        unsafe Array(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// The bytes as a span to decode from.
    @inlinable
    public var span: RawSpan {
        @_lifetime(immortal)
        @inline(__always) get {
            // Sound for as long as the region itself is: see above.
            let span = unsafe RawSpan(_unsafeStart: base, byteCount: count)
            return unsafe _overrideLifetime(span, borrowing: ())
        }
    }

    /// The bytes as a span to encode into.
    @inlinable
    public var mutableSpan: MutableRawSpan {
        @_lifetime(immortal)
        @inline(__always) get {
            let span = unsafe MutableRawSpan(_unsafeStart: base, byteCount: count)
            return unsafe _overrideLifetime(span, borrowing: ())
        }
    }
}
