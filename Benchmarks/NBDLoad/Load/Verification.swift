internal import LinuxIO
internal import NBDProtocol

/// The expected content of one connection's blocks.
///
/// A block begins with its offset, its generation, and a checksum of both and the rest. The rest differs for each
/// block and generation, so that a wrong block is recognized. No other connection uses these blocks, and there
/// are never two requests for the same block in flight. The connection therefore knows what each read must
/// return.
struct Verification: ~Copyable {
    /// Size of offset, generation and checksum in bytes.
    static var headerSize: Int { 24 }
    /// Flag in a generation: the block was trimmed since, and may read as zeroes.
    private static var trimmed: UInt32 { 1 << 31 }

    private let blockSize: Int
    private let first: Int
    private let runNumber: UInt64
    private var generations: [UInt32]
    private var isBusy: [Bool]
    private let memory: MemoryMapping

    /// Prepares for these blocks, of which up to `depth` are in flight. The run number distinguishes the blocks
    /// of this run from those of an earlier one.
    init(blocks: Range<Int>, blockSize: Int, depth: Int, runNumber: UInt64) throws(Failure) {
        self.blockSize = blockSize
        self.runNumber = runNumber
        first = blocks.lowerBound
        generations = Array(repeating: 0, count: blocks.count)
        isBusy = Array(repeating: false, count: blocks.count)
        memory = try mapping(depth * blockSize)
    }

    /// Returns the memory of a request in flight: the data to write, or the data that it has read.
    @inline(__always)
    func buffer(_ slot: Int) -> MemoryRegion {
        memory.region.slice(at: slot * blockSize, count: blockSize)
    }

    /// Returns a block at or after this one that has no request in flight, and marks it as busy.
    mutating func reserve(near block: Int) -> Int {
        var index = block - first
        while isBusy[index] { index = index + 1 == isBusy.count ? 0 : index + 1 }
        isBusy[index] = true
        return index + first
    }

    /// Fills the memory of a request with the next generation of a block.
    mutating func prepareWrite(block: Int, slot: Int) {
        let generation = (generations[block - first] & ~Self.trimmed) + 1
        generations[block - first] = generation
        fill(buffer(slot), block: block, generation: generation)
    }

    /// Expects zeroes or the current generation from now on.
    mutating func prepareTrim(block: Int) {
        generations[block - first] |= Self.trimmed
    }

    /// Checks the data of a read, and marks the block as no longer busy.
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
        if isZero { throw Failure("\(place) reads as zeroes: the data written to it is lost") }
        guard sum == Self.checksum(span) else {
            throw Failure("\(place) is damaged: its checksum \(sum) is wrong")
        }
        guard foundOffset == offset else {
            throw Failure("\(place) has the data of the block at \(foundOffset)")
        }
        guard foundMark == mark else {
            let age = Int64(bitPattern: mark &- foundMark)
            throw Failure(
                "\(place) does not have the last data written to it, but data of "
                    + (age > 0 && age < 1 << 31 ? "\(age) writes earlier" : "another run"))
        }
    }

    /// Returns the checksum of everything except the checksum itself.
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
