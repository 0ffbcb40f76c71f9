/// The checkpoints of a disk that were committed and aborted last, as a backing stores them: in a slot of its header.
///
/// | bytes | content |
/// | --- | --- |
/// | 0–7 | FNV-1a checksum of bytes 8–287 |
/// | 8–15 | when the committed checkpoint was made: the bits of a `Double`, in seconds since 1970 |
/// | 16–23 | bytes in the name of the committed checkpoint; 0 when there is none |
/// | 24–31 | bytes in the name of the aborted one; 0 when there is none |
/// | 32–159 | the name of the committed one |
/// | 160–287 | the name of the aborted one |
package struct CheckpointNames: Sendable, Equatable {
    /// A checkpoint that was committed.
    package struct Committed: Sendable, Equatable {
        /// Its name.
        package let name: String
        /// When it was made, in seconds since 1970.
        package let created: Double

        package init(name: String, created: Double) {
            self.name = name
            self.created = created
        }
    }

    /// The last one that was committed; nil when none was.
    package var committed: Committed?
    /// The one that is open, or else was aborted last; nil when there is none. An open checkpoint does not survive its
    /// server, so the next server finds it aborted.
    package var aborted: String?

    package init(committed: Committed? = nil, aborted: String? = nil) {
        self.committed = committed
        self.aborted = aborted
    }

    /// The largest number of bytes in a name.
    package static var longestName: Int { 128 }
    /// Bytes in a slot.
    static var byteCount: Int { 32 + 2 * longestName }

    /// The bytes of a slot. Traps when a name is empty or longer than ``longestName``.
    var encoded: [UInt8] {
        let names = [committed?.name, aborted].map { name in
            precondition(name.map { (1...Self.longestName).contains($0.utf8.count) } ?? true)
            return Array((name ?? "").utf8)
        }
        let words = [committed?.created.bitPattern ?? 0] + names.map { UInt64($0.count) }
        let content =
            words.flatMap { BackingHeader.bytes(of: $0) }
            + names.flatMap { $0 + [UInt8](repeating: 0, count: Self.longestName - $0.count) }
        return BackingHeader.bytes(of: BackingHeader.checksum(content[...])) + content
    }

    /// Decodes and checks the bytes of a slot.
    init(decoding bytes: ArraySlice<UInt8>) throws(BackingHeader.HeaderError) {
        let bytes = Array(bytes)
        guard bytes.count == Self.byteCount,
            BackingHeader.word(bytes, 0) == BackingHeader.checksum(bytes[8...])
        else { throw .damaged }
        func name(_ index: Int) throws(BackingHeader.HeaderError) -> String? {
            let count = BackingHeader.word(bytes, 16 + 8 * index)
            guard count <= UInt64(Self.longestName) else { throw .damaged }
            guard count > 0 else { return nil }
            let start = 32 + index * Self.longestName
            // Repaired as a text, it could be longer than a name that can be stored.
            guard let name = String(validating: bytes[start..<start + Int(count)], as: UTF8.self)
            else { throw .damaged }
            return name
        }
        let created = Double(bitPattern: BackingHeader.word(bytes, 8))
        committed = try name(0).map { Committed(name: $0, created: created) }
        aborted = try name(1)
    }
}
