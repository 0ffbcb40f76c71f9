extension RawSpan {
    /// Returns the big-endian number at a byte offset; traps if it is not entirely inside the span.
    ///
    /// Every number of NBD is big-endian (NBD specification, Conventions), and the standard library
    /// has no loads and stores for raw spans that know of byte order. These functions check bounds
    /// once each. Where the caller has checked them already, the optimizer reduces a call to a load
    /// and a byte swap.
    @inlinable @inline(__always)
    package func bigEndian<Number: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Number.Type = Number.self
    ) -> Number {
        // Sound: every bit pattern is an integer, and the load itself is checked against the bounds.
        Number(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: Number.self))
    }
}

extension MutableRawSpan {
    /// Stores a number big-endian at a byte offset; traps if it does not fit inside the span.
    @inlinable @inline(__always)
    package mutating func store<Number: FixedWidthInteger & BitwiseCopyable>(
        bigEndian number: Number, at offset: Int
    ) {
        storeBytes(of: number.bigEndian, toByteOffset: offset, as: Number.self)
    }
}

extension [UInt8] {
    /// Appends a number big-endian. Handshake messages, which vary in length, are built with it.
    package mutating func append<Number: FixedWidthInteger>(bigEndian number: Number) {
        for shift in stride(from: Number.bitWidth - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: number >> Number(shift)))
        }
    }
}
