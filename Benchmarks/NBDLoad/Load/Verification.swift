internal import LinuxIO
internal import NBDProtocol

/// What the blocks of one connection have to contain.
///
/// A block begins with its offset, its generation and a checksum over both and the rest; the rest is
/// different for each block and generation. A connection has its blocks for itself, and never two
/// requests for the same one in flight, so it knows what each read has to bring.
struct Verification: ~Copyable {
    /// Bytes of offset, generation and checksum.
    static var headerSize: Int { 24 }
    /// In a generation: the block was trimmed, and may read as zeroes from then on.
    private static var trimmed: UInt32 { 1 << 31 }

    private let blockSize: Int
    private let first: Int
    private let runNumber: UInt64
    private var generations: [UInt32]
    private var isBusy: [Bool]
    private let memory: MemoryMapping

    /// For these blocks, of which up to `depth` are in flight. The run number is what tells an
    /// earlier run's blocks from this one's.
    init(blocks: Range<Int>, blockSize: Int, depth: Int, runNumber: UInt64) throws(Failure) {
        self.blockSize = blockSize
        self.runNumber = runNumber
        first = blocks.lowerBound
        generations = Array(repeating: 0, count: blocks.count)
        isBusy = Array(repeating: false, count: blocks.count)
        memory = try mapping(depth * blockSize)
    }

    /// The memory of a request in flight: what it writes, or what it has read.
    @inline(__always)
    func buffer(_ slot: Int) -> MemoryRegion {
        memory.region.slice(at: slot * blockSize, count: blockSize)
    }

    /// A block near this one that has no request in flight.
    mutating func reserve(near block: Int) -> Int {
        var index = block - first
        while isBusy[index] { index = index + 1 == isBusy.count ? 0 : index + 1 }
        isBusy[index] = true
        return index + first
    }

    /// Makes the next generation of a block.
    mutating func prepareWrite(block: Int, slot: Int) {
        let generation = (generations[block - first] & ~Self.trimmed) + 1
        generations[block - first] = generation
        fill(buffer(slot), block: block, generation: generation)
    }

    /// Expects either zeroes or what was there.
    mutating func prepareTrim(block: Int) {
        generations[block - first] |= Self.trimmed
    }

    /// Checks what a read brought, and lets the block go.
    mutating func finish(_ command: Command, block: Int, slot: Int) throws(Failure) {
        isBusy[block - first] = false
        if command == .read { try check(buffer(slot), block: block) }
    }

    private func fill(_ region: MemoryRegion, block: Int, generation: UInt32) {
        var state = UInt64(block) << 32 | UInt64(generation)
        let mark = runNumber &+ UInt64(generation)
        let offset = UInt64(block) * UInt64(blockSize)
        var span = region.mutableSpan
        span.store(bigEndian: offset, at: 0)
        span.store(bigEndian: mark, at: 8)
        for place in stride(from: Self.headerSize, to: blockSize, by: 8) {
            state = state &* 0x5851_f42d_4c95_7f2d &+ 0x1405_7b7e_f767_814f
            span.store(bigEndian: state, at: place)
        }
        span.store(bigEndian: Self.checksum(region.span), at: 16)
    }

    private func check(_ region: MemoryRegion, block: Int) throws(Failure) {
        let expected = generations[block - first]
        let isTrimmed = expected & Self.trimmed != 0
        let mark = runNumber &+ UInt64(expected & ~Self.trimmed)
        let offset = UInt64(block) * UInt64(blockSize)
        let span = region.span
        let foundOffset = span.bigEndian(at: 0, as: UInt64.self)
        let foundMark = span.bigEndian(at: 8, as: UInt64.self)
        let sum = span.bigEndian(at: 16, as: UInt64.self)
        let isZero = Self.isZero(span)
        if isTrimmed, isZero { return }
        let place = "the block at \(offset)"
        if isZero { throw Failure("\(place) reads as zeroes: what was written is lost") }
        guard sum == Self.checksum(span) else {
            throw Failure("\(place) is damaged: its checksum is not \(sum)")
        }
        guard foundOffset == offset else {
            throw Failure("\(place) has the data of the block at \(foundOffset)")
        }
        guard foundMark == mark else {
            let age = Int64(bitPattern: mark &- foundMark)
            throw Failure(
                "\(place) is not what was written last, but "
                    + (age > 0 && age < 1 << 31 ? "\(age) writes older" : "another run's"))
        }
    }

    /// Over all but the place of the checksum itself.
    private static func checksum(_ span: RawSpan) -> UInt64 {
        var sum = span.bigEndian(at: 0, as: UInt64.self)
        sum = sum &* 0x100_0000_01b3 ^ span.bigEndian(at: 8, as: UInt64.self)
        for place in stride(from: headerSize, to: span.byteCount, by: 8) {
            sum = (sum &* 0x100_0000_01b3) ^ span.bigEndian(at: place, as: UInt64.self)
        }
        return sum
    }

    private static func isZero(_ span: RawSpan) -> Bool {
        for place in stride(from: 0, to: span.byteCount, by: 8)
        where span.bigEndian(at: place, as: UInt64.self) != 0 { return false }
        return true
    }
}
