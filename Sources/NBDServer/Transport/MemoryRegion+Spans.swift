package import LinuxIO

/// Memory as spans of bytes, for stores.
extension MemoryRegion {
    /// Lends the bytes to be read.
    package func withBytes<Failure: Error>(
        _ body: (Span<UInt8>) throws(Failure) -> Void
    ) throws(Failure) {
        try unsafe span.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) throws(Failure) in
            // Sound: the span does not outlive the call, and the region's owner does.
            try body(unsafe Span<UInt8>(_unsafeBytes: bytes))
        }
    }

    /// Lends the bytes to be written.
    package func withMutableBytes<Failure: Error>(
        _ body: (inout MutableSpan<UInt8>) throws(Failure) -> Void
    ) throws(Failure) {
        var span = mutableSpan
        try unsafe span.withUnsafeMutableBytes {
            (bytes: UnsafeMutableRawBufferPointer) throws(Failure) in
            // Sound: as above.
            var span = unsafe MutableSpan<UInt8>(_unsafeBytes: bytes)
            try body(&span)
        }
    }

    /// Copies all bytes of a span to the start; traps when they are too many.
    func copy(from source: Span<UInt8>) {
        var target = slice(at: 0, count: source.count).mutableSpan
        unsafe source.withUnsafeBytes { bytes in
            unsafe target.withUnsafeMutableBytes { unsafe $0.copyMemory(from: bytes) }
        }
    }

    /// Copies all bytes into a span, from an index on; traps when they do not fit.
    func copy(to target: inout MutableSpan<UInt8>, at index: Int) {
        precondition(index >= 0 && index <= target.count && count <= target.count - index)
        unsafe span.withUnsafeBytes { bytes in
            unsafe target.withUnsafeMutableBytes { target in
                // Sound: the line above.
                unsafe UnsafeMutableRawBufferPointer(rebasing: target[index..<index + bytes.count])
                    .copyMemory(from: bytes)
            }
        }
    }
}
