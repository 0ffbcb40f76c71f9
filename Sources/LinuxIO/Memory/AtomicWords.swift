public import CLinux
public import Synchronization
public import SystemPackage

/// An array of 64-bit atomic words in a memory region, which must outlive it.
///
/// Every access checks its index. The memory order of an operation is in its documentation, and in its name
/// where it is relaxed.
@safe @frozen public struct AtomicWords: @unchecked Sendable, BitwiseCopyable {
    /// The number of words.
    public let count: Int
    @usableFromInline let base: UnsafeMutablePointer<Atomic<UInt64>>

    /// Uses the words of a region that is aligned to 8 bytes, as all mapped memory is.
    public init(_ region: MemoryRegion) {
        count = region.count / 8
        // Sound: an atomic word has the layout of a plain one, and any bits are a value.
        unsafe base = region.base.bindMemory(to: Atomic<UInt64>.self, capacity: region.count / 8)
    }

    /// Returns a word; acquires.
    @inlinable @inline(__always)
    public func load(_ index: Int) -> UInt64 {
        precondition(index >= 0 && index < count)
        return unsafe base[index].load(ordering: .acquiring)
    }

    /// Sets a word; releases.
    @inlinable @inline(__always)
    public func store(_ index: Int, _ value: UInt64) {
        precondition(index >= 0 && index < count)
        unsafe base[index].store(value, ordering: .releasing)
    }

    /// Adds to a word, modulo 2^64, and returns its former value; a full barrier.
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

    /// Sets a word if it has the old value, and returns whether it had; a full barrier.
    @inlinable @inline(__always)
    public func replace(_ index: Int, _ old: UInt64, with new: UInt64) -> Bool {
        precondition(index >= 0 && index < count)
        return unsafe base[index].compareExchange(
            expected: old, desired: new, ordering: .sequentiallyConsistent
        ).exchanged
    }

    /// Sets a word and returns its former value; a full barrier.
    @inlinable @inline(__always)
    public func exchange(_ index: Int, _ value: UInt64) -> UInt64 {
        precondition(index >= 0 && index < count)
        return unsafe base[index].exchange(value, ordering: .sequentiallyConsistent)
    }

    /// Sets a word to the greater of its value and another; a full barrier.
    @inlinable @inline(__always)
    public func raise(_ index: Int, to value: UInt64) {
        precondition(index >= 0 && index < count)
        unsafe base[index].max(value, ordering: .sequentiallyConsistent)
    }

    // MARK: - Sleeping

    /// Suspends the calling thread until another thread wakes this word's sleepers. Returns at once when the
    /// lower half of the word is not `value`, and may return early, so the caller reads the word again.
    /// futex(2), `FUTEX_WAIT`
    @_semantics("no_performance_analysis")
    public func sleep(_ index: Int, while value: UInt32) {
        precondition(index >= 0 && index < count)
        unsafe clinux_futex_wait(base + index, value)
    }

    /// Wakes one or all of the threads that sleep on a word. futex(2), `FUTEX_WAKE`
    @_semantics("no_performance_analysis")
    public func wake(_ index: Int, all: Bool) {
        precondition(index >= 0 && index < count)
        unsafe clinux_futex_wake(base + index, all ? CInt.max : 1)
    }

    // MARK: - Relaxed

    /// Returns a word, unordered with other memory: for a word that guards nothing but itself.
    @inlinable @inline(__always)
    public func loadRelaxed(_ index: Int) -> UInt64 {
        precondition(index >= 0 && index < count)
        return unsafe base[index].load(ordering: .relaxed)
    }

    /// Sets a word, unordered with other memory.
    @inlinable @inline(__always)
    public func storeRelaxed(_ index: Int, _ value: UInt64) {
        precondition(index >= 0 && index < count)
        unsafe base[index].store(value, ordering: .relaxed)
    }

    /// Adds to a word that only the calling thread changes: a load and a store, without a locked
    /// instruction. Other threads may read the word at any time.
    @inlinable @inline(__always)
    public func addRelaxed(_ index: Int, by amount: UInt64) {
        precondition(index >= 0 && index < count)
        let value = unsafe base[index].load(ordering: .relaxed)
        unsafe base[index].store(value &+ amount, ordering: .relaxed)
    }
}

/// Barriers between one thread that acts seldom and threads that act often.
///
/// A thread that acts often stores a word, calls ``compilerFence()`` and loads another word. The thread that
/// acts seldom stores that other word, calls ``everywhere()`` and loads the first one. At least one of the two
/// threads then sees what the other has stored, and the frequent one pays for no barrier.
public enum MemoryBarrier {
    /// Keeps the compiler from moving memory accesses across this point.
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public static func compilerFence() { clinux_compiler_fence() }

    /// Makes every thread of the process execute a full memory barrier. membarrier(2)
    ///
    /// - Throws: `noFunction` where the kernel, or a filter of system calls, does not allow it.
    public static func everywhere() throws(Errno) {
        try checked(clinux_barrier_everywhere())
    }
}

extension AtomicWords {
    /// Takes a lock, which is one word: 0 when it is free, 1 when a thread holds it, and 2 when other threads
    /// may also be asleep.
    ///
    /// A thread that has to wait sleeps and does not spin: it may have a higher priority than the thread that
    /// holds the lock, and that thread may be waiting for memory to be freed.
    @inlinable
    public func lock(_ index: Int) {
        if replace(index, 0, with: 1) { return }
        while exchange(index, 2) != 0 { sleep(index, while: 2) }
    }

    /// Releases a lock, and wakes one thread that waits for it.
    @inlinable
    public func unlock(_ index: Int) {
        if exchange(index, 0) == 2 { wake(index, all: false) }
    }
}
