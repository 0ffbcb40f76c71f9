import LinuxIO
import NBDProtocol
import Testing

@testable import NBDLoad

@Suite("Verification of blocks")
struct VerificationTests {
    /// A disk with the blocks 10 to 13 of 512 bytes, which stores what is written.
    struct Disk: ~Copyable {
        var verification: Verification
        var blocks: [Int: [UInt8]] = [:]

        init(runNumber: UInt64 = 1 << 40) throws {
            verification = try Verification(
                blocks: 10..<14, blockSize: 512, depth: 2, runNumber: runNumber)
        }

        mutating func write(_ block: Int) throws {
            let block = verification.reserve(near: block)
            verification.prepareWrite(block: block, slot: 1)
            blocks[block] = verification.buffer(1).bytes
            try verification.finish(.write, block: block, slot: 1)
        }

        mutating func trim(_ block: Int) throws {
            let block = verification.reserve(near: block)
            verification.prepareTrim(block: block)
            try verification.finish(.trim, block: block, slot: 1)
        }

        /// Reads a block for which the server returns these bytes.
        mutating func read(_ block: Int, as bytes: [UInt8]?) throws {
            let block = verification.reserve(near: block)
            verification.buffer(0).copy(from: bytes ?? [UInt8](repeating: 0, count: 512))
            try verification.finish(.read, block: block, slot: 0)
        }
    }

    /// Returns the error for a block that reads as these bytes.
    func complaint(_ disk: inout Disk, _ block: Int, _ bytes: [UInt8]?) -> String? {
        do {
            try disk.read(block, as: bytes)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("the last data written is correct")
    func right() throws {
        var disk = try Disk()
        for block in 10..<14 { try disk.write(block) }
        try disk.write(11)
        for block in 10..<14 { #expect(complaint(&disk, block, disk.blocks[block]) == nil) }
    }

    @Test(
        "every wrong bit is found", arguments: [0, 7, 8, 15, 16, 23, 24, 300, 511])
    func damage(place: Int) throws {
        var disk = try Disk()
        try disk.write(10)
        for bit in 0..<8 {
            var bytes = try #require(disk.blocks[10])
            bytes[place] ^= 1 << bit
            #expect(complaint(&disk, 10, bytes) != nil)
        }
    }

    @Test("an older write, another block, a torn write and a lost write are distinguished")
    func reasons() throws {
        var disk = try Disk()
        try disk.write(12)
        let old = try #require(disk.blocks[12])
        try disk.write(12)
        try disk.write(13)
        let new = try #require(disk.blocks[12])
        let torn = Array(new.prefix(256) + old.suffix(256))
        #expect(complaint(&disk, 12, old)?.contains("1 writes earlier") == true)
        #expect(complaint(&disk, 12, disk.blocks[13])?.contains("the block at 6656") == true)
        #expect(complaint(&disk, 12, torn)?.contains("damaged") == true)
        #expect(complaint(&disk, 12, nil)?.contains("lost") == true)
        var other = try Disk(runNumber: 5)
        try other.write(12)
        #expect(complaint(&disk, 12, other.blocks[12])?.contains("another run") == true)
    }

    @Test("a trimmed block must read as zeroes or as before")
    func trimmed() throws {
        var disk = try Disk()
        try disk.write(10)
        let old = disk.blocks[10]
        try disk.write(10)
        try disk.trim(10)
        #expect(complaint(&disk, 10, nil) == nil)
        #expect(complaint(&disk, 10, disk.blocks[10]) == nil)
        #expect(complaint(&disk, 10, old) != nil)
        try disk.write(10)
        #expect(complaint(&disk, 10, nil) != nil)
        #expect(complaint(&disk, 10, disk.blocks[10]) == nil)
    }

    @Test("a block with a request in flight is not chosen again")
    func busy() throws {
        var disk = try Disk()
        #expect(disk.verification.reserve(near: 13) == 13)
        #expect(disk.verification.reserve(near: 13) == 10)
        try disk.verification.finish(.write, block: 13, slot: 0)
        #expect(disk.verification.reserve(near: 13) == 13)
    }
}
