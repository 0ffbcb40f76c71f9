internal import LinuxIO

/// A flag that is set once, as the threads see it. They look at it after each receive and between the
/// pieces of long work on a disk, never for each request. Its memory is the server's.
struct StopSignal: Sendable, BitwiseCopyable {
    private let words: AtomicWords

    /// Bytes of memory that it needs.
    static var byteCount: Int { 8 }

    /// A flag in memory that is zero: not set.
    init(memory: MemoryRegion) {
        words = AtomicWords(memory)
    }

    /// Whether the server is being stopped.
    @inline(__always)
    var isSet: Bool { words.load(0) != 0 }

    /// Sets it.
    func set() { words.store(0, 1) }
}
