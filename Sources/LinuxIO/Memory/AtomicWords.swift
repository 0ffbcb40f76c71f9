internal import CLinux
public import Synchronization

/// An array of atomic words over a memory region, which has to outlive it.
@safe @frozen public struct AtomicWords: @unchecked Sendable, BitwiseCopyable {
    /// Words in it.
    public let count: Int
    @usableFromInline let base: UnsafeMutablePointer<Atomic<UInt64>>

    /// The words of a region that is aligned to 8 bytes, as all mapped memory is.
    public init(_ region: MemoryRegion) {
        count = region.count / 8
        // Sound: an atomic word has the layout of a plain one, and any bits are a number.
        unsafe base = region.base.bindMemory(to: Atomic<UInt64>.self, capacity: region.count / 8)
    }

    /// The word's value.
    @inlinable @inline(__always)
    public func load(_ index: Int) -> UInt64 {
        precondition(index >= 0 && index < count)
        return unsafe base[index].load(ordering: .acquiring)
    }

    /// Gives the word a value.
    @inlinable @inline(__always)
    public func store(_ index: Int, _ value: UInt64) {
        precondition(index >= 0 && index < count)
        unsafe base[index].store(value, ordering: .releasing)
    }

    /// Adds to a word, modulo 2^64, and answers what it was before; a full barrier.
    @inlinable @inline(__always) @discardableResult
    public func add(_ index: Int, _ amount: UInt64) -> UInt64 {
        precondition(index >= 0 && index < count)
        return unsafe base[index].wrappingAdd(amount, ordering: .sequentiallyConsistent).oldValue
    }

    /// Sets bits of a word; a full barrier.
    @inlinable @inline(__always)
    public func set(_ index: Int, _ bits: UInt64) {
        precondition(index >= 0 && index < count)
        unsafe base[index].bitwiseOr(bits, ordering: .sequentiallyConsistent)
    }

    /// Clears bits of a word; a full barrier.
    @inlinable @inline(__always)
    public func clear(_ index: Int, _ bits: UInt64) {
        precondition(index >= 0 && index < count)
        unsafe base[index].bitwiseAnd(~bits, ordering: .sequentiallyConsistent)
    }

    /// Gives the word a new value if it has the old one, and returns whether it had; a full barrier.
    @inlinable @inline(__always)
    public func replace(_ index: Int, _ old: UInt64, with new: UInt64) -> Bool {
        precondition(index >= 0 && index < count)
        return unsafe base[index].compareExchange(
            expected: old, desired: new, ordering: .sequentiallyConsistent
        ).exchanged
    }

    /// Gives the word a value and returns the one that it had; a full barrier.
    @inlinable @inline(__always)
    public func exchange(_ index: Int, _ value: UInt64) -> UInt64 {
        precondition(index >= 0 && index < count)
        return unsafe base[index].exchange(value, ordering: .sequentiallyConsistent)
    }

    /// Raises the word to a value if it is lower; a full barrier.
    @inlinable @inline(__always)
    public func raise(_ index: Int, to value: UInt64) {
        precondition(index >= 0 && index < count)
        unsafe base[index].max(value, ordering: .sequentiallyConsistent)
    }

    // MARK: - Sleeping

    /// Sleeps until another thread wakes the sleepers of this word, unless the lower half of the word
    /// is not `value` any more. May return early: the caller looks at the word again. futex(2),
    /// `FUTEX_WAIT`
    @_semantics("no_performance_analysis")
    public func sleep(_ index: Int, while value: UInt32) {
        precondition(index >= 0 && index < count)
        unsafe clinux_futex_wait(base + index, value)
    }

    /// Wakes threads that sleep on the word: one, or all of them. futex(2), `FUTEX_WAKE`
    @_semantics("no_performance_analysis")
    public func wake(_ index: Int, all: Bool) {
        precondition(index >= 0 && index < count)
        unsafe clinux_futex_wake(base + index, all ? CInt.max : 1)
    }

    // MARK: - Without order

    /// The word's value, in no order with other memory: for a word that stands for itself.
    @inlinable @inline(__always)
    public func loadRelaxed(_ index: Int) -> UInt64 {
        precondition(index >= 0 && index < count)
        return unsafe base[index].load(ordering: .relaxed)
    }

    /// Gives the word a value, in no order with other memory.
    @inlinable @inline(__always)
    public func storeRelaxed(_ index: Int, _ value: UInt64) {
        precondition(index >= 0 && index < count)
        unsafe base[index].store(value, ordering: .relaxed)
    }

    /// Adds to a word that only this thread changes: a plain load and a plain store, which others may
    /// watch.
    @inlinable @inline(__always)
    public func addRelaxed(_ index: Int, by amount: UInt64) {
        precondition(index >= 0 && index < count)
        let value = unsafe base[index].load(ordering: .relaxed)
        unsafe base[index].store(value &+ amount, ordering: .relaxed)
    }
}
