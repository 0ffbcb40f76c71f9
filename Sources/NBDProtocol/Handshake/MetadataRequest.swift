/// The data of LIST_META_CONTEXT and SET_META_CONTEXT: an export, and queries for contexts (NBD
/// specification, `NBD_OPT_LIST_META_CONTEXT`).
public struct MetadataRequest: Sendable, Hashable {
    /// Name of the export; empty for the default one.
    public var exportName: String
    /// Names of contexts, or namespaces, in the client's order.
    public var queries: [String]

    /// Creates a request for contexts of an export.
    public init(exportName: String, queries: [String]) {
        self.exportName = exportName
        self.queries = queries
    }

    /// Decodes a request. Returns nil if the lengths do not add up to the data, or if a string is
    /// invalid.
    public init?(decoding data: [UInt8]) {
        var reader = ByteReader(data)
        guard let nameLength = reader.number(as: UInt32.self),
            let name = reader.string(Int(nameLength)),
            let count = reader.number(as: UInt32.self)
        else { return nil }
        exportName = name
        queries = []
        // No memory is reserved for the count, which is only the client's claim.
        for _ in 0..<count {
            guard let length = reader.number(as: UInt32.self),
                let query = reader.string(Int(length))
            else { return nil }
            queries.append(query)
        }
        guard reader.remaining == 0 else { return nil }
    }

    /// The data on the wire.
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

    /// Returns which contexts of an export these queries list; all of them if there is no query.
    func listed(of contexts: [MetadataContext]) -> ContextSet {
        matches(contexts) { context in
            queries.isEmpty || queries.contains { context.isListed(by: $0) }
        }
    }

    /// Returns which contexts of an export these queries select. A selection has no wildcard.
    func selected(of contexts: [MetadataContext]) -> ContextSet {
        matches(contexts) { context in queries.contains { context.isSelected(by: $0) } }
    }

    private func matches(
        _ contexts: [MetadataContext], _ condition: (MetadataContext) -> Bool
    ) -> ContextSet {
        var set = ContextSet()
        for (index, context) in contexts.enumerated() where condition(context) { set.insert(index) }
        return set
    }
}
