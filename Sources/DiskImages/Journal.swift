internal import LinuxIO
internal import SystemPackage

/// The changes of an incremental save, before they are made to the image: `PATH.journal`.
///
/// It consists of little-endian words and of pages. First comes a header:
///
/// | bytes | content |
/// | --- | --- |
/// | 0–7 | `RDNBDJNL` |
/// | 8–15 | version |
/// | 16–23 | size of the disk in bytes |
/// | 24–31 | generation of the image to which the changes belong |
/// | 32–39 | checksum of the words before |
///
/// Records follow, each of four words: kind, offset on the disk, length, checksum. A record of data is followed by
/// the bytes; one of zeroes is not. The last record is the commit record, followed by the ``ImageState`` of the new
/// save: its offset is the number of records before it. The file ends there.
///
/// A record's checksum covers the three words before, the bytes that follow, and the checksum of the record before.
/// So a commit record is correct only behind exactly the records that were written.
struct Journal: ~Copyable {
    private let file: DurableFile
    private let files: ImageFiles
    private let length: UInt64
    /// Size of the disk in bytes.
    private let size: UInt64
    /// The generation of the image to which the changes belong.
    let base: UInt64
    /// The state after the changes.
    private(set) var state: ImageState
    private let headerChecksum: UInt64

    fileprivate static let magic = Array("RDNBDJNL".utf8)
    fileprivate static let headerCount = 40
    fileprivate static let recordHeadCount = 32

    /// Opens the journal of an image, and checks all of it. Returns nil when there is none, or when its commit record
    /// is missing or something before it is wrong.
    static func open(of files: ImageFiles) throws(DiskImageError) -> Journal? {
        guard try files.exists(.journal) else { return nil }
        let file = try files.open(.journal)
        let length = try files.size(of: file, .journal)
        let memory = try ChunkBuffer.memory(headerCount)
        let region = memory.region.slice(at: 0, count: headerCount)
        let count = try files.read(file, .journal, at: 0, into: region)
        let header = region.bytes
        guard count == headerCount, header.starts(with: magic) else { return nil }
        let words = unsafe header.span.bytes
        let checksum: UInt64 = words.littleEndian(at: 32)
        guard checksum == Checksum.of(words.extracting(first: 32), seed: 0) else { return nil }
        let version: UInt64 = words.littleEndian(at: 8)
        guard version == ImageState.version else {
            throw .otherVersion(file: files.path(of: .journal), found: version)
        }
        var journal = Journal(
            file: file, files: files, length: length, size: words.littleEndian(at: 16),
            base: words.littleEndian(at: 24), headerChecksum: checksum)
        guard let state = try journal.scan({ (_, _) throws(DiskImageError) in }) else {
            return nil
        }
        journal.state = state
        return journal
    }

    private init(
        file: consuming DurableFile, files: ImageFiles, length: UInt64, size: UInt64,
        base: UInt64, headerChecksum: UInt64
    ) {
        self.file = file
        self.files = files
        self.length = length
        self.size = size
        self.base = base
        self.headerChecksum = headerChecksum
        state = ImageState(size: size, generation: 0, savedAt: 0, checksums: [:])
    }

    /// Makes the changes to the image, and syncs it. May be repeated. Returns how many bytes it has written.
    func apply() throws(DiskImageError) -> UInt64 {
        var image = try EditedFile(updating: .image, of: files)
        let state = try scan { (range, bytes) throws(DiskImageError) in
            if let bytes {
                try image.write(bytes, at: range.lowerBound)
            } else {
                try image.zero(range)
            }
        }
        // It was complete when it was opened, and this process has locked it.
        guard state != nil else { throw files.failure("read", .journal, .ioError) }
        try image.sync()
        return image.bytesWritten
    }

    /// Passes each change to a function: a range of the disk, and its bytes, or nil for zeroes. Returns the state
    /// that the commit record contains; nil when the journal is not complete.
    private func scan(
        _ visit: (Range<UInt64>, MemoryRegion?) throws(DiskImageError) -> Void
    ) throws(DiskImageError) -> ImageState? {
        let memory = try ChunkBuffer.memory()
        let headMemory = try ChunkBuffer.memory()
        let head = headMemory.region.slice(at: 0, count: Self.recordHeadCount)
        var position = UInt64(Self.headerCount)
        var chain = headerChecksum
        var recordCount: UInt64 = 0
        while try fill(head, from: position) {
            position += UInt64(Self.recordHeadCount)
            guard let record = Record(decoding: head.span) else { return nil }
            if record.kind == .commit {
                guard record.offset == recordCount, record.length == length - position,
                    record.length <= ImageState.longest
                else { return nil }
                return try readState(record, at: position, chain: chain)
            }
            guard record.offset <= size, record.length <= size - record.offset else { return nil }
            let bytes = memory.region.slice(at: 0, count: record.payloadCount)
            guard try fill(bytes, from: position),
                record.checksum == record.expectedChecksum(bytes.span, chain: chain)
            else { return nil }
            try visit(
                record.offset..<record.offset + record.length,
                record.kind == .data ? bytes : nil)
            position += UInt64(record.payloadCount)
            chain = record.checksum
            recordCount += 1
        }
        return nil
    }

    private func readState(
        _ record: Record, at position: UInt64, chain: UInt64
    ) throws(DiskImageError) -> ImageState? {
        let memory = try ChunkBuffer.memory(max(1, Int(record.length)))
        let bytes = memory.region.slice(at: 0, count: Int(record.length))
        guard try fill(bytes, from: position),
            record.checksum == record.expectedChecksum(bytes.span, chain: chain),
            let state = try? ImageState(decoding: bytes.bytes), state.size == size
        else { return nil }
        return state
    }

    /// Reads a region's bytes; returns false when the file has fewer.
    private func fill(
        _ region: MemoryRegion, from position: UInt64
    ) throws(DiskImageError) -> Bool {
        guard position <= length, UInt64(region.count) <= length - position else { return false }
        return try files.read(file, .journal, at: position, into: region) == region.count
    }

    /// The four words of a record.
    fileprivate struct Record {
        enum Kind: UInt64 {
            case data = 1
            case zeroes = 2
            case commit = 3
        }

        let kind: Kind
        let offset: UInt64
        let length: UInt64
        var checksum: UInt64 = 0

        init(kind: Kind, offset: UInt64, length: UInt64) {
            self.kind = kind
            self.offset = offset
            self.length = length
        }

        /// Nil when no record begins like this.
        init?(decoding words: RawSpan) {
            guard let kind = Kind(rawValue: words.littleEndian(at: 0)) else { return nil }
            self.init(
                kind: kind, offset: words.littleEndian(at: 8), length: words.littleEndian(at: 16))
            checksum = words.littleEndian(at: 24)
            if kind == .data, length > UInt64(ChunkBuffer.byteCount) { return nil }
        }

        /// The number of bytes that follow a record of data or zeroes.
        var payloadCount: Int { kind == .data ? Int(length) : 0 }

        /// The three words in front of the checksum.
        private var fields: [UInt8] {
            var bytes: [UInt8] = []
            for word in [kind.rawValue, offset, length] { bytes.append(littleEndian: word) }
            return bytes
        }

        /// The four words.
        var encoded: [UInt8] {
            var bytes = fields
            bytes.append(littleEndian: checksum)
            return bytes
        }

        func expectedChecksum(_ payload: RawSpan, chain: UInt64) -> UInt64 {
            Checksum.of(payload, seed: Checksum.of(fields, seed: chain))
        }
    }
}

/// A journal that is being written.
struct JournalWriter: ~Copyable {
    private var file: EditedFile
    /// The bytes to write next, so that the file is written in pieces of 1 MiB.
    private let buffer: MemoryMapping
    private var buffered = 0
    private var position: UInt64 = 0
    private var chain: UInt64
    private var recordCount: UInt64 = 0
    /// Zeroes that have no record yet, since the next ones may follow them directly.
    private var zeroes: Range<UInt64>?

    /// The number of bytes that have been written.
    var bytesWritten: UInt64 { file.bytesWritten }

    /// Creates the journal.
    init(
        of files: ImageFiles, size: UInt64, base generation: UInt64
    ) throws(DiskImageError) {
        let buffer = try ChunkBuffer.memory()
        let file = try EditedFile(creating: .journal, of: files)
        var header = Journal.magic
        for word in [ImageState.version, size, generation] { header.append(littleEndian: word) }
        let checksum = Checksum.of(header)
        header.append(littleEndian: checksum)
        buffer.region.copy(from: header)
        self.buffer = buffer
        self.file = file
        buffered = header.count
        chain = checksum
    }

    /// Records that a range of the disk, of at most 1 MiB, has these bytes.
    mutating func appendData(_ bytes: MemoryRegion, at offset: UInt64) throws(DiskImageError) {
        try flushZeroes()
        try append(.data, offset: offset, length: UInt64(bytes.count), payload: bytes.span)
        try append(bytes)
    }

    /// Records that a range of the disk is zero.
    mutating func appendZeroes(_ range: Range<UInt64>) throws(DiskImageError) {
        if let pending = zeroes, pending.upperBound == range.lowerBound {
            zeroes = pending.lowerBound..<range.upperBound
            return
        }
        try flushZeroes()
        zeroes = range
    }

    /// Writes the rest of the records, without the commit record.
    mutating func flush() throws(DiskImageError) {
        try flushZeroes()
        try flushBuffer()
    }

    /// Writes the commit record, and syncs the file.
    mutating func commit(_ state: ImageState) throws(DiskImageError) {
        try flushZeroes()
        let bytes = state.encoded
        try append(
            .commit, offset: recordCount, length: UInt64(bytes.count),
            payload: unsafe bytes.span.bytes)
        try append(bytes)
        try flushBuffer()
        try file.sync()
    }

    private mutating func flushZeroes() throws(DiskImageError) {
        guard let range = zeroes else { return }
        zeroes = nil
        try append(
            .zeroes, offset: range.lowerBound, length: UInt64(range.count),
            payload: buffer.region.slice(at: 0, count: 0).span)
    }

    private mutating func append(
        _ kind: Journal.Record.Kind, offset: UInt64, length: UInt64, payload: RawSpan
    ) throws(DiskImageError) {
        var record = Journal.Record(kind: kind, offset: offset, length: length)
        record.checksum = record.expectedChecksum(payload, chain: chain)
        chain = record.checksum
        recordCount += 1
        try append(record.encoded)
    }

    private mutating func append(_ bytes: [UInt8]) throws(DiskImageError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            if buffered == ChunkBuffer.byteCount { try flushBuffer() }
            let part = Array(rest.prefix(ChunkBuffer.byteCount - buffered))
            buffer.region.suffix(from: buffered).copy(from: part)
            buffered += part.count
            rest = rest.dropFirst(part.count)
        }
    }

    private mutating func append(_ bytes: MemoryRegion) throws(DiskImageError) {
        var done = 0
        while done < bytes.count {
            if buffered == ChunkBuffer.byteCount { try flushBuffer() }
            let count = min(bytes.count - done, ChunkBuffer.byteCount - buffered)
            buffer.region.slice(at: buffered, count: count)
                .copy(from: bytes.slice(at: done, count: count))
            buffered += count
            done += count
        }
    }

    private mutating func flushBuffer() throws(DiskImageError) {
        guard buffered > 0 else { return }
        try file.write(buffer.region.slice(at: 0, count: buffered), at: position)
        position += UInt64(buffered)
        buffered = 0
    }
}
