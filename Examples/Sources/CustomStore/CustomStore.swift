import NBDServer
import Synchronization

/// A disk of a terabyte that holds only the blocks that were written, in a dictionary.
final class DictionaryStore: BlockStore {
    let size: UInt64 = 1 << 40
    private static let blockSize: UInt64 = 4096
    private let blocks = Mutex<[UInt64: [UInt8]]>([:])

    func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) {
        let blocks = blocks.withLock { $0 }
        for index in buffer.indices {
            let position = offset + UInt64(index)
            let block = blocks[position / Self.blockSize]
            buffer[index] = block?[Int(position % Self.blockSize)] ?? 0
        }
    }

    func write(_ bytes: Span<UInt8>, at offset: UInt64) {
        let empty = [UInt8](repeating: 0, count: Int(Self.blockSize))
        blocks.withLock { blocks in
            for index in bytes.indices {
                let position = offset + UInt64(index)
                blocks[position / Self.blockSize, default: empty][Int(position % Self.blockSize)] =
                    bytes[index]
            }
        }
    }

    /// Lets clients skip what was never written.
    func firstExtent(of range: Range<UInt64>) -> Extent {
        let block = range.lowerBound / Self.blockSize
        let isEmpty = blocks.withLock { $0[block] == nil }
        let end = min(range.upperBound, (block + 1) * Self.blockSize)
        return Extent(length: end - range.lowerBound, status: isEmpty ? .empty : .data)
    }
}
