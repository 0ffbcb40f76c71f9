internal import LinuxIO
public import SystemPackage

/// Filling a disk from a file.
extension RamDisk {
    /// An error of ``load(path:)``. Its description is one sentence for people.
    #if hasAttribute(nonexhaustive)
        @nonexhaustive
    #endif
    public enum LoadError: Error, Sendable, Equatable, CustomStringConvertible {
        /// The file cannot be read.
        case unreadable(path: String, Errno)
        /// The file is longer than the disk, or a sparse disk has no memory for it. Size of the
        /// disk in bytes.
        case tooLong(path: String, size: UInt64)
        /// There cannot be a disk for the file.
        case noDisk(path: String, RamDiskError)

        /// The file, and what is wrong with it.
        public var description: String {
            switch self {
            case .unreadable(let path, let error): "cannot read \(path): \(error)"
            case .tooLong(let path, let size):
                "\(path) does not fit on a disk of \(size.bytesText); choose a larger size"
            case .noDisk(let path, let error): "cannot load \(path): \(error)"
            }
        }
    }

    /// Bytes that are read from the file at once.
    private static var loadLength: Int { 1 << 20 }

    /// Copies a file to the start of the disk. Pages of zeroes are skipped, and holes of the file
    /// are not read. To be called before the disk is served.
    public func load(path: String) throws(LoadError) {
        do throws(Errno) {
            let file = try InputFile(path: path)
            let buffer = try MemoryMapping(privateBytes: Self.loadLength)
            guard let length = try file.size else {
                return try load(file, 0..<(.max), buffer.region)
            }
            guard length <= size else { throw .noSpace }
            var offset: UInt64 = 0
            while let run = nextData(of: file, from: offset, to: length) {
                try file.seek(to: run.lowerBound)
                try load(file, run, buffer.region)
                offset = run.upperBound
            }
        } catch {
            if error == .noSpace { throw .tooLong(path: path, size: size) }
            throw .unreadable(path: path, error)
        }
    }

    /// Copies a store of at most the disk's size to the start of the disk, except for empty extents and pages of
    /// zeroes. To be called before the disk is served.
    func fill(from store: some BlockStore) throws(BlockStoreError) {
        let buffer: MemoryMapping
        do throws(Errno) {
            buffer = try MemoryMapping(privateBytes: Self.loadLength)
        } catch {
            throw BlockStoreError(error)
        }
        var offset: UInt64 = 0
        while offset < store.size {
            let end = min(store.size, offset + UInt64(Self.loadLength))
            let extent = try store.firstExtent(of: offset..<end)
            if !extent.status.contains(.zero) {
                let part = buffer.region.slice(at: 0, count: Int(extent.length))
                let start = offset
                try part.withMutableBytes {
                    (bytes: inout MutableSpan<UInt8>) throws(BlockStoreError) in
                    try store.read(at: start, into: &bytes)
                }
                guard copy(part, to: offset) else { throw .noSpace() }
            }
            offset += extent.length
        }
    }

    /// Returns the next range of a file that has to be read, which is all the rest if the file
    /// system does not report holes; nil at the end.
    private func nextData(
        of file: borrowing InputFile, from offset: UInt64, to length: UInt64
    ) -> Range<UInt64>? {
        guard offset < length else { return nil }
        do throws(Errno) {
            guard let run = try file.nextData(from: offset) else { return nil }
            return run
        } catch {
            return offset..<length
        }
    }

    /// Copies the next bytes of a file to a range of the disk, until the range or the file ends.
    private func load(
        _ file: borrowing InputFile, _ range: Range<UInt64>, _ buffer: MemoryRegion
    ) throws(Errno) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let wanted = Int(min(UInt64(buffer.count), range.upperBound - offset))
            let count = try file.read(into: buffer.slice(at: 0, count: wanted))
            guard count > 0 else { return }
            guard copy(buffer.slice(at: 0, count: count), to: offset) else { throw .noSpace }
            offset += UInt64(count)
        }
    }

    /// Copies data to the disk, except for pages of zeroes. Returns false if it does not fit.
    private func copy(_ data: MemoryRegion, to offset: UInt64) -> Bool {
        guard offset <= size, UInt64(data.count) <= size - offset else { return false }
        var done = 0
        while done < data.count {
            let start = done
            while done < data.count, !page(of: data, at: done).isZero {
                done += page(of: data, at: done).count
            }
            let run = data.slice(at: start, count: done - start)
            guard fill(run, at: offset + UInt64(start)) else { return false }
            // The page behind the run is zero, or there is none.
            if done < data.count { done += page(of: data, at: done).count }
        }
        return true
    }

    private func page(of data: MemoryRegion, at start: Int) -> MemoryRegion {
        data.slice(at: start, count: min(DiskPages.pageSize, data.count - start))
    }
}
