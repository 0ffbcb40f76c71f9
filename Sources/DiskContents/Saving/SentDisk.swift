internal import LinuxIO
internal import NBDServer
internal import Synchronization

/// A frozen disk as a stream of bytes, from a server to a client that saves it.
///
/// The stream consists of little-endian words and of data: first the size of the disk, and the number of bytes that may
/// hold data; then for each run of data, in ascending order, its offset, its length, and the data; last the size of the
/// disk, and 0.
final class SentDisk: Sendable {
    /// The number of bytes of the words before the first run, and of the words before each run.
    static let headCount = 16
    /// The longest run in bytes: the longest read of a store.
    static let longestRun = 1 << 20

    private let store: any BlockStore
    /// The offset at which the search for the next run begins; nil before the first piece, beyond the size after the
    /// last.
    private let offset = Mutex<UInt64?>(nil)

    init(_ store: any BlockStore) { self.store = store }

    /// Returns the next piece; nil behind the last. After an error the stream ends before its last words.
    func next() -> [UInt8]? {
        offset.withLock { offset in
            guard let start = offset else {
                offset = 0
                guard let count = try? allocatedBytes() else { return nil }
                return head(store.size, count)
            }
            guard start <= store.size else { return nil }
            guard let run = try? nextRun(from: start), let piece = try? piece(of: run) else {
                offset = .max
                return nil
            }
            offset = run.isEmpty ? .max : run.upperBound
            return piece
        }
    }

    private func piece(of run: Range<UInt64>) throws(BlockStoreError) -> [UInt8] {
        var bytes = head(run.lowerBound, UInt64(run.count))
        guard !run.isEmpty else { return bytes }
        bytes += [UInt8](repeating: 0, count: run.count)
        var span = bytes.mutableSpan
        var data = span._mutatingExtracting(droppingFirst: Self.headCount)
        try store.read(at: run.lowerBound, into: &data)
        return bytes
    }

    private func head(_ first: UInt64, _ second: UInt64) -> [UInt8] {
        [first, second].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
        }
    }

    /// Returns the next run of data at or after an offset; an empty one at the end of the disk when there is none.
    private func nextRun(from start: UInt64) throws(BlockStoreError) -> Range<UInt64> {
        var offset = start
        while offset < store.size {
            // No more than one run: firstExtent(of:) of a snapshot visits each page of what it is asked for.
            let window = offset..<min(store.size, offset + UInt64(Self.longestRun))
            let extent = try store.firstExtent(of: window)
            if !extent.status.contains(.zero) {
                return offset..<offset + extent.length
            }
            offset += extent.length
        }
        return store.size..<store.size
    }

    private func allocatedBytes() throws(BlockStoreError) -> UInt64 {
        var count: UInt64 = 0
        var offset: UInt64 = 0
        while true {
            let run = try nextRun(from: offset)
            guard !run.isEmpty else { return count }
            count += UInt64(run.count)
            offset = run.upperBound
        }
    }
}
