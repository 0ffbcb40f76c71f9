/// An export of a server, as its client knows it.
public struct RemoteExport: Sendable, Hashable {
    /// The name that the client asked for.
    public var name: String
    /// A description for people; empty if the server sent none.
    public var description = ""
    /// Size in bytes.
    public var size: UInt64 = 0
    /// Its features.
    public var flags: TransmissionFlags = []
    /// The block sizes, or nil if the server sent no valid ones. Requests from 512 bytes to 32 MiB are
    /// safe then.
    public var blockSizes: BlockSizes?

    /// Creates an export of which only the name is known.
    public init(name: String) { self.name = name }

    /// Size of the reply to EXPORT_NAME in bytes, without the zeroes.
    static var exportNameReplySize: Int { 10 }
    /// Number of zero bytes after that reply, unless NO_ZEROES was negotiated.
    static var zeroCount: Int { 124 }

    /// Stores a piece of information. Returns false if it is malformed. Ignores unknown types, as the
    /// specification demands.
    mutating func store(_ type: InfoType, _ data: ByteReader) -> Bool {
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

/// The sizes of requests that an export accepts, in bytes (NBD specification, Block size
/// constraints).
public struct BlockSizes: Sendable, Hashable {
    /// Minimum block size: a power of two, at most 64 KiB. Offsets and lengths are multiples of it.
    public var minimum: UInt32
    /// Preferred block size: a power of two.
    public var preferred: UInt32
    /// Maximum payload of a READ or WRITE. If all bits are set, there is no limit.
    public var maximumPayload: UInt32

    /// Returns nil for sizes that the specification does not allow.
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

/// An entry in a server's list of exports.
public struct ExportListing: Sendable, Hashable {
    /// The name to ask for.
    public var name: String
    /// A description for people; may be empty.
    public var description: String

    /// Creates an entry.
    public init(name: String, description: String) {
        self.name = name
        self.description = description
    }

    /// Decodes the data of `NBD_REP_SERVER`. Returns nil if it is malformed.
    init?(decoding data: [UInt8]) {
        var reader = ByteReader(data)
        guard let length = reader.number(as: UInt32.self), let name = reader.string(Int(length)),
            let description = reader.string(reader.remaining)
        else { return nil }
        self.init(name: name, description: description)
    }
}
