/// An export of a server, as a client that uses it knows it.
public struct RemoteExport: Sendable, Hashable {
    /// The name that was asked for.
    public var name: String
    /// Text for people; empty when the server sent none.
    public var description = ""
    /// Size in bytes.
    public var size: UInt64 = 0
    /// What it can do.
    public var flags: TransmissionFlags = []
    /// Nil when the server told none that make sense: then 512 bytes to 32 MiB are safe.
    public var blockSizes: BlockSizes?

    /// An export of which only the name is known.
    public init(name: String) { self.name = name }

    /// Bytes of EXPORT_NAME's answer, without the zeroes.
    static var exportNameReplySize: Int { 10 }
    /// Zero bytes after it, unless NO_ZEROES was agreed.
    static var zeroCount: Int { 124 }

    /// Takes a piece of information in; false when it is not as it must be. Unknown types are
    /// ignored, as the specification wants.
    mutating func take(_ type: InfoType, _ data: ByteReader) -> Bool {
        var reader = data
        switch type {
        case .export:
            guard let size = reader.number(as: UInt64.self),
                let flags = reader.number(as: UInt16.self), reader.remaining == 0
            else { return false }
            self.size = size
            self.flags = TransmissionFlags(rawValue: flags)
        case .description:
            guard let text = reader.string(reader.remaining) else { return false }
            description = text
        case .blockSize:
            guard let minimum = reader.number(as: UInt32.self),
                let preferred = reader.number(as: UInt32.self),
                let maximum = reader.number(as: UInt32.self), reader.remaining == 0
            else { return false }
            blockSizes = BlockSizes(
                minimum: minimum, preferred: preferred, maximumPayload: maximum)
        default: break
        }
        return true
    }
}

/// Sizes of requests that an export takes, in bytes (specification: "Block size constraints").
public struct BlockSizes: Sendable, Hashable {
    /// Offsets and lengths are multiples of it; a power of two, at most 64 KiB.
    public var minimum: UInt32
    /// What is best; a power of two.
    public var preferred: UInt32
    /// Longest READ or WRITE; all bits set means that there is no limit.
    public var maximumPayload: UInt32

    /// Nil for sizes that the specification does not allow.
    public init?(minimum: UInt32, preferred: UInt32, maximumPayload: UInt32) {
        guard minimum.nonzeroBitCount == 1, minimum <= 64 << 10,
            preferred.nonzeroBitCount == 1, preferred >= max(512, minimum),
            maximumPayload == .max
                || (maximumPayload >= preferred && maximumPayload.isMultiple(of: minimum))
        else { return nil }
        self.minimum = minimum
        self.preferred = preferred
        self.maximumPayload = maximumPayload
    }
}

/// One entry of a server's list of exports.
public struct ExportListing: Sendable, Hashable {
    /// Name to ask for.
    public var name: String
    /// Text for people; may be empty.
    public var description: String

    /// An entry for an export.
    public init(name: String, description: String) {
        self.name = name
        self.description = description
    }

    /// From the data of `NBD_REP_SERVER`; nil when it is not as it must be.
    init?(decoding data: [UInt8]) {
        var reader = ByteReader(data)
        guard let length = reader.number(as: UInt32.self), let name = reader.string(Int(length)),
            let description = reader.string(reader.remaining)
        else { return nil }
        self.init(name: name, description: description)
    }
}
