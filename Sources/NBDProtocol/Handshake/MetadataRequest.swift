/// The data of LIST_META_CONTEXT and SET_META_CONTEXT: an export, and queries for contexts
/// (specification: `NBD_OPT_LIST_META_CONTEXT`).
public struct MetadataRequest: Sendable, Hashable {
    /// Name of the export; empty means the default one.
    public var exportName: String
    /// Names of contexts, or parts of names, in the order asked.
    public var queries: [String]

    /// A question about an export.
    public init(exportName: String, queries: [String]) {
        self.exportName = exportName
        self.queries = queries
    }

    /// Nil when the lengths do not add up to the data, or a string is not a valid one.
    public init?(decoding data: [UInt8]) {
        var reader = ByteReader(data)
        guard let nameLength = reader.number(as: UInt32.self),
            let name = reader.string(Int(nameLength)),
            let count = reader.number(as: UInt32.self)
        else { return nil }
        exportName = name
        queries = []
        // No room is made for a count that is only claimed.
        for _ in 0..<count {
            guard let length = reader.number(as: UInt32.self),
                let query = reader.string(Int(length))
            else { return nil }
            queries.append(query)
        }
        guard reader.remaining == 0 else { return nil }
    }

    /// The data as it travels.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt32(exportName.utf8.count))
        bytes += Array(exportName.utf8)
        bytes.append(bigEndian: UInt32(queries.count))
        for query in queries {
            bytes.append(bigEndian: UInt32(query.utf8.count))
            bytes += Array(query.utf8)
        }
        return bytes
    }

    /// Whether these queries list `base:allocation`: all is listed when nothing is asked, and "base:"
    /// is a wildcard.
    var listsAllocation: Bool {
        queries.isEmpty || queries.contains("base:") || selectsAllocation
    }

    /// Whether these queries choose `base:allocation`; there is no wildcard for that.
    var selectsAllocation: Bool { queries.contains(MetadataContext.allocation) }
}
