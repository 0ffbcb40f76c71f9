// Network byte order, in one place: every number of NBD is big-endian (specification: "Conventions").
//
// The standard library has no byte-order-aware loads and stores for raw spans yet. These check
// bounds once each, and fold into a load and a byte swap when the caller has checked already.

extension RawSpan {
    /// The big-endian number at a byte offset; traps when it does not lie whole inside the span.
    @inlinable @inline(__always)
    public func bigEndian<Number: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Number.Type = Number.self
    ) -> Number {
        // Sound: every bit pattern is an integer, and the load itself is checked against the bounds.
        Number(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: Number.self))
    }
}

extension MutableRawSpan {
    /// Stores a number big-endian at a byte offset; traps when it does not fit inside the span.
    @inlinable @inline(__always)
    public mutating func store<Number: FixedWidthInteger & BitwiseCopyable>(
        bigEndian number: Number, at offset: Int
    ) {
        storeBytes(of: number.bigEndian, toByteOffset: offset, as: Number.self)
    }
}

extension [UInt8] {
    /// Appends a number big-endian: the way handshake messages, which vary in length, are built.
    public mutating func append<Number: FixedWidthInteger>(bigEndian number: Number) {
        for shift in stride(from: Number.bitWidth - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: number >> Number(shift)))
        }
    }
}
