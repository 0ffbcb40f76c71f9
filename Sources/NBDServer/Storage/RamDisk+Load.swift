// A disk that does not begin empty.

internal import LinuxIO
public import SystemPackage

extension RamDisk {
    /// Why a file could not become a disk's content; its description is one sentence for people.
    public enum LoadError: Error, Sendable, Equatable, CustomStringConvertible {
        /// The file cannot be read.
        case unreadable(path: String, Errno)
        /// The file has more bytes than the disk, or the disk has got no memory for them. In bytes.
        case tooLong(path: String, size: UInt64)

        /// Which file, and what is wrong.
        public var description: String {
            switch self {
            case .unreadable(let path, let error): "cannot read \(path): \(error)"
            case .tooLong(let path, let size):
                "\(path) does not fit on a disk of \(size.bytesText); choose a larger size"
            }
        }
    }

    /// Bytes that are read at once.
    private static var loadLength: Int { 1 << 20 }

    /// Copies a file to the start of the disk; what is zero in it stays empty, and its holes are not
    /// even read. To be called before anybody is served.
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

    /// The next run of a file that has to be read; all the rest where the file system cannot tell.
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

    /// Copies the bytes of a file that come next to a range of the disk, or as many as there are.
    private func load(
        _ file: borrowing InputFile, _ range: Range<UInt64>, _ buffer: MemoryRegion
    ) throws(Errno) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let room = Int(min(UInt64(buffer.count), range.upperBound - offset))
            let count = try file.read(into: buffer.slice(at: 0, count: room))
            guard count > 0 else { return }
            guard copy(buffer.slice(at: 0, count: count), to: offset) else { throw .noSpace }
            offset += UInt64(count)
        }
    }

    /// False when it does not fit.
    private func copy(_ data: MemoryRegion, to offset: UInt64) -> Bool {
        guard offset <= size, UInt64(data.count) <= size - offset else { return false }
        var done = 0
        while done < data.count {
            let part = data.slice(at: done, count: min(DiskPages.pageSize, data.count - done))
            if !part.isZero {
                let place = offset + UInt64(done)
                guard let target = pages.beginWrite(at: place, count: UInt64(part.count)) else {
                    return false
                }
                target.copy(from: part)
                pages.endWrite(at: place, count: UInt64(part.count))
            }
            done += part.count
        }
        return true
    }
}
