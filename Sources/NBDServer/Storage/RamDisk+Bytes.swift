internal import LinuxIO
internal import SystemPackage

/// Access to the bytes for programs that have the disk in their own process.
extension RamDisk {
    /// An error of ``read(at:count:)`` or `write(_:at:)`. Its description is one sentence for
    /// people.
    #if hasAttribute(nonexhaustive)
        @nonexhaustive
    #endif
    public enum AccessError: Error, Sendable, Equatable, CustomStringConvertible {
        /// The range is not inside the disk. All in bytes.
        case beyondEnd(offset: UInt64, count: Int, size: UInt64)
        /// There is no memory for the range. In bytes.
        case noMemory(offset: UInt64, count: Int)
        /// The disk is served before its contents are complete, and these could not be fetched, for this reason.
        case unavailable(String)

        /// The range, and what is wrong with it.
        public var description: String {
            switch self {
            case .beyondEnd(let offset, let count, let size):
                "\(count) bytes at offset \(offset) are not inside a disk of \(size) bytes"
            case .noMemory(let offset, let count):
                "there is no memory left for \(count) bytes at offset \(offset)"
            case .unavailable(let reason): reason
            }
        }
    }

    /// Returns the bytes of a range.
    ///
    /// Safe while clients use the disk. If a client writes to the range at the same time, the
    /// result may contain a part of what it writes.
    public func read(at offset: UInt64, count: Int) throws(AccessError) -> [UInt8] {
        try check(offset, count)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        do throws(Errno) {
            var pins = try ReadPins(pages.pins)
            while bytes.count < count {
                let part = pages.readable(
                    at: offset + UInt64(bytes.count), count: UInt64(count - bytes.count),
                    pins: &pins)
                bytes += part.bytes
                pins.unpinAll()
            }
        } catch {
            throw .noMemory(offset: offset, count: count)
        }
        return bytes
    }

    /// Writes bytes to the disk. Safe while clients use the disk.
    ///
    /// If a sparse disk gets no memory for all of the bytes, none is written.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(AccessError) {
        try check(offset, bytes.count)
        guard !bytes.isEmpty else { return }
        let count = UInt64(bytes.count)
        let pages = changeablePages
        guard let target = pages.beginWrite(at: offset, count: count) else {
            throw .noMemory(offset: offset, count: bytes.count)
        }
        target.copy(from: bytes)
        pages.endWrite(at: offset, count: count)
    }

    private func check(_ offset: UInt64, _ count: Int) throws(AccessError) {
        guard count >= 0, offset <= size, UInt64(count) <= size - offset else {
            throw .beyondEnd(offset: offset, count: count, size: size)
        }
        do throws(BlockStoreError) {
            try awaitContents(at: offset, count: UInt64(count))
        } catch {
            throw .unavailable(error.message)
        }
    }
}
