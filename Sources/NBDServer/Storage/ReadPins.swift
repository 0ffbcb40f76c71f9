internal import LinuxIO
internal import SystemPackage

/// The claims of replies that wait to be sent: until they are, nobody takes the memory of these pages
/// away. A plain disk never has one.
struct ReadPins: ~Copyable {
    /// Claims at a time: one for each region of data in a batch.
    private static var capacity: Int { VectorList.maximum }

    private let claims: PagePins
    /// First page and end of each. Only what is used takes up memory.
    private let memory: MemoryMapping
    private let words: AtomicWords
    private var count = 0

    /// None yet.
    init(_ claims: PagePins) throws(Errno) {
        self.claims = claims
        memory = try MemoryMapping(privateBytes: Self.capacity * 16)
        words = AtomicWords(memory.region)
    }

    deinit { giveUp() }

    /// Takes over a claim that has been made; traps when there are more than a batch can have.
    mutating func keep(_ pages: Range<Int>) {
        words.storeRelaxed(2 &* count, UInt64(pages.lowerBound))
        words.storeRelaxed(2 &* count &+ 1, UInt64(pages.upperBound))
        count &+= 1
    }

    /// The replies have been sent.
    @inline(__always)
    mutating func release() {
        if count > 0 {
            giveUp()
            count = 0
        }
    }

    private func giveUp() {
        for index in 0..<count {
            claims.unpin(
                Int(words.loadRelaxed(2 &* index))..<Int(words.loadRelaxed(2 &* index &+ 1)))
        }
    }
}
