public import CLinux

/// A range of memory that another value owns: a slice of a mapping, or of a connection's buffer.
///
/// A region is valid as long as its owner lives. That is the one rule that the compiler does not check
/// here: ``MemoryMapping`` hands out regions, and code that keeps a region also keeps the mapping. Slicing is
/// checked in every build, so a region never reaches past the memory from which it was cut. Two threads
/// may access the same bytes at once, as two programs may with any disk: a reader then gets some mixture
/// of old and new bytes, and nothing else can go wrong.
@safe @frozen public struct MemoryRegion: @unchecked Sendable, BitwiseCopyable {
    /// The size in bytes.
    public let count: Int
    @usableFromInline package let base: UnsafeMutableRawPointer

    @inlinable @inline(__always)
    init(base: UnsafeMutableRawPointer, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    /// Returns `count` bytes from `offset` on; traps unless all of them are inside.
    @inlinable @inline(__always)
    public func slice(at offset: Int, count: Int) -> MemoryRegion {
        precondition(
            offset >= 0 && count >= 0 && offset <= self.count && count <= self.count &- offset)
        // Sound: the precondition above.
        return unsafe MemoryRegion(base: base + offset, count: count)
    }

    /// Returns all bytes from `offset` on.
    @inlinable @inline(__always)
    public func suffix(from offset: Int) -> MemoryRegion {
        slice(at: offset, count: count &- offset)
    }

    /// Copies a region of the same size into this one; they may overlap. memmove(3)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func copy(from source: MemoryRegion) {
        precondition(source.count == count)
        unsafe memmove(base, source.base, count)
    }

    /// Copies a region of the same size, which must not overlap, into this one, and bypasses the caches: for
    /// bytes that no thread is about to read.
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func copyPastCache(from source: MemoryRegion) {
        precondition(source.count == count)
        unsafe clinux_copy_past_cache(base, source.base, count)
    }

    /// Sets every byte to zero. memset(3)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func zero() {
        unsafe memset(base, 0, count)
    }

    /// Whether every byte is zero. memcmp(3)
    public var isZero: Bool {
        // Sound: compares each byte after the first with the one before it, all inside the region.
        guard count > 0 else { return true }
        return unsafe base.load(as: UInt8.self) == 0 && memcmp(base, base + 1, count - 1) == 0
    }

    /// Copies an array to the start of the region; traps when the array is larger.
    public func copy(from bytes: [UInt8]) {
        precondition(bytes.count <= count)
        // Sound: the precondition above.
        unsafe bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { unsafe memcpy(base, start, source.count) }
        }
    }

    /// A copy of the bytes.
    public var bytes: [UInt8] {
        unsafe Array(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// The bytes as a span to decode from.
    @inlinable
    public var span: RawSpan {
        @_lifetime(immortal)
        @inline(__always) get {
            // Sound as long as the region is valid: see the type.
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
