/// Pages of a disk, as ranges of their indices that are sorted and do not touch.
struct PageRanges: Equatable {
    private(set) var ranges: [Range<UInt64>]

    /// The pages that ranges of bytes touch, in any order, as far as they are on a disk of a size in bytes.
    init(touchedBy changes: any Sequence<Range<UInt64>>, size: UInt64) {
        let pageSize = UInt64(ChunkBuffer.pageSize)
        var pages: [Range<UInt64>] = []
        for change in changes {
            let bytes = change.clamped(to: 0..<size)
            guard !bytes.isEmpty else { continue }
            pages.append(bytes.lowerBound / pageSize..<(bytes.upperBound - 1) / pageSize + 1)
        }
        pages.sort { $0.lowerBound < $1.lowerBound }
        ranges = []
        for range in pages {
            if let last = ranges.last, range.lowerBound <= last.upperBound {
                let end = max(last.upperBound, range.upperBound)
                ranges[ranges.count - 1] = last.lowerBound..<end
            } else {
                ranges.append(range)
            }
        }
    }

    var isEmpty: Bool { ranges.isEmpty }

    /// The size of the pages in bytes.
    var byteCount: UInt64 {
        ranges.reduce(0) { $0 + UInt64($1.count) } * UInt64(ChunkBuffer.pageSize)
    }

    /// The chunks that the pages are in, in ascending order, each with its pages, counted from its start.
    var chunks: Chunks { Chunks(rest: ranges[...]) }

    struct Chunks: Sequence, IteratorProtocol {
        fileprivate var rest: ArraySlice<Range<UInt64>>

        mutating func next() -> (chunk: UInt64, pages: [Range<Int>])? {
            let perChunk = UInt64(ChunkBuffer.pageCount)
            guard let chunk = rest.first.map({ $0.lowerBound / perChunk }) else { return nil }
            let start = chunk * perChunk
            let end = start + perChunk
            var pages: [Range<Int>] = []
            while let range = rest.first, range.lowerBound < end {
                pages.append(
                    Int(range.lowerBound - start)..<Int(Swift.min(range.upperBound, end) - start))
                guard range.upperBound <= end else {
                    rest[rest.startIndex] = end..<range.upperBound
                    break
                }
                rest = rest.dropFirst()
            }
            return (chunk, pages)
        }
    }
}
