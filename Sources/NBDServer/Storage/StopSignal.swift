internal import LinuxIO

/// A flag that the server sets once to stop its connections' threads.
///
/// The threads read it after each receive and between the pieces of long work on a disk, but not
/// for each request. Its memory belongs to the server.
struct StopSignal: Sendable, BitwiseCopyable {
    private let words: AtomicWords

    /// Bytes of memory that the flag needs.
    static var byteCount: Int { 8 }

    /// A flag that is not set, in memory that is zero.
    init(memory: MemoryRegion) {
        words = AtomicWords(memory)
    }

    /// Whether the server is being stopped.
    @inline(__always)
    var isSet: Bool { words.load(0) != 0 }

    /// Sets the flag.
    func set() { words.store(0, 1) }
}
