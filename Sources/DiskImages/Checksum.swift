/// The 64-bit hash of xxHash (XXH64, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md).
///
/// It detects damage, not forgery: other bytes have the same hash once in 2^64. It needs multiplications and rotations of
/// words only, in four independent lanes, so plain Swift hashes pages at 4.8 GiB/s on one processor (release build, 64 MiB
/// in pages of 4 KiB). CRC-32C has half of the bits, and is only that fast with the processor's own instruction,
/// which Swift cannot use.
enum Checksum {
    private static let primes: (UInt64, UInt64, UInt64, UInt64, UInt64) = (
        0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9,
        0x85EB_CA77_C2B2_AE63, 0x27D4_EB2F_1656_67C5
    )

    /// Returns the hash of an array.
    static func of(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 {
        of(unsafe bytes.span.bytes, seed: seed)
    }

    /// Returns the hash of bytes, with a seed that makes it another function.
    static func of(_ bytes: RawSpan, seed: UInt64) -> UInt64 {
        var offset = 0
        var hash = seed &+ primes.4
        if bytes.byteCount >= 32 { hash = stripes(bytes, seed: seed, offset: &offset) }
        hash &+= UInt64(bytes.byteCount)
        while offset + 8 <= bytes.byteCount {
            hash ^= round(0, bytes.littleEndian(at: offset))
            hash = rotated(hash, 27) &* primes.0 &+ primes.3
            offset += 8
        }
        if offset + 4 <= bytes.byteCount {
            hash ^= UInt64(bytes.littleEndian(at: offset, as: UInt32.self)) &* primes.0
            hash = rotated(hash, 23) &* primes.1 &+ primes.2
            offset += 4
        }
        while offset < bytes.byteCount {
            hash ^= UInt64(bytes.littleEndian(at: offset, as: UInt8.self)) &* primes.4
            hash = rotated(hash, 11) &* primes.0
            offset += 1
        }
        hash = (hash ^ hash >> 33) &* primes.1
        hash = (hash ^ hash >> 29) &* primes.2
        return hash ^ hash >> 32
    }

    /// Returns the hash of all whole stripes of 32 bytes, and moves the offset behind them.
    private static func stripes(_ bytes: RawSpan, seed: UInt64, offset: inout Int) -> UInt64 {
        var first = seed &+ primes.0 &+ primes.1
        var second = seed &+ primes.1
        var third = seed
        var fourth = seed &- primes.0
        while offset + 32 <= bytes.byteCount {
            first = round(first, bytes.littleEndian(at: offset))
            second = round(second, bytes.littleEndian(at: offset + 8))
            third = round(third, bytes.littleEndian(at: offset + 16))
            fourth = round(fourth, bytes.littleEndian(at: offset + 24))
            offset += 32
        }
        var hash =
            rotated(first, 1) &+ rotated(second, 7) &+ rotated(third, 12) &+ rotated(fourth, 18)
        hash = (hash ^ round(0, first)) &* primes.0 &+ primes.3
        hash = (hash ^ round(0, second)) &* primes.0 &+ primes.3
        hash = (hash ^ round(0, third)) &* primes.0 &+ primes.3
        return (hash ^ round(0, fourth)) &* primes.0 &+ primes.3
    }

    @inline(__always)
    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotated(lane &+ word &* primes.1, 31) &* primes.0
    }

    @inline(__always)
    private static func rotated(_ word: UInt64, _ bits: UInt64) -> UInt64 {
        word &<< bits | word &>> (64 &- bits)
    }
}

// MARK: - Little-endian numbers

extension RawSpan {
    /// Returns the little-endian number at a byte offset; traps if it is not entirely inside the span.
    @inline(__always)
    func littleEndian<Number: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Number.Type = Number.self
    ) -> Number {
        // Sound: every bit pattern is an integer, and the load itself is checked against the bounds.
        Number(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: Number.self))
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
