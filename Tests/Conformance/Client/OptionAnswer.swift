internal import NBDProtocol

/// One option reply.
struct OptionReply: Hashable, CustomStringConvertible {
    var option: UInt32
    var code: UInt32
    var data: [UInt8]

    /// Whether this is the last reply to its option.
    var isFinal: Bool { code == Reply.ack || isError }
    /// Whether the reply is an error.
    var isError: Bool { code >> 31 == 1 }

    /// The name in an `NBD_REP_SERVER`, or nil for other replies.
    var exportName: String? { listing?.name }

    /// The name and description in an `NBD_REP_SERVER`, or nil for other or malformed replies.
    var listing: (name: String, description: String)? {
        var reader = ByteReader(data)
        guard code == Reply.server, let length = reader.number(as: UInt32.self),
            let name = reader.string(Int(length)),
            let description = reader.string(reader.remaining)
        else { return nil }
        return (name, description)
    }

    /// The type and payload of an `NBD_REP_INFO`, or nil for other replies.
    var information: (type: UInt16, data: [UInt8])? {
        guard code == Reply.info, data.count >= 2 else { return nil }
        return (UInt16(data[0]) << 8 | UInt16(data[1]), Array(data.dropFirst(2)))
    }

    var description: String {
        let names: [UInt32: String] = [
            Reply.ack: "ACK", Reply.server: "SERVER", Reply.info: "INFO",
            Reply.metaContext: "META_CONTEXT", Reply.unsupported: "ERR_UNSUP",
            Reply.policy: "ERR_POLICY", Reply.invalid: "ERR_INVALID",
            Reply.platform: "ERR_PLATFORM", Reply.tlsRequired: "ERR_TLS_REQD",
            Reply.unknownExport: "ERR_UNKNOWN", Reply.shutdown: "ERR_SHUTDOWN",
            Reply.blockSizeRequired: "ERR_BLOCK_SIZE_REQD", Reply.tooBig: "ERR_TOO_BIG",
            Reply.extendedHeadersRequired: "ERR_EXT_HEADER_REQD",
        ]
        return "NBD_REP_" + (names[code] ?? "\(code)")
    }
}

/// All replies to one option.
struct OptionAnswer {
    /// The replies before the last one.
    var replies: [OptionReply]
    /// The last reply: ACK or an error.
    var end: OptionReply

    /// The payloads of information, by type.
    var information: [UInt16: [[UInt8]]] {
        var result: [UInt16: [[UInt8]]] = [:]
        for case let (type, data)? in replies.map(\.information) {
            result[type, default: []].append(data)
        }
        return result
    }

    /// The contexts in the replies, in order.
    var contexts: [Context] {
        replies.compactMap { reply in
            var reader = ByteReader(reply.data)
            guard reply.code == Reply.metaContext, let id = reader.number(as: UInt32.self),
                let name = reader.string(reader.remaining)
            else { return nil }
            return Context(id: id, name: name)
        }
    }

    /// What the replies say about the export, or nil without an `NBD_INFO_EXPORT`.
    var facts: ExportFacts? {
        get throws {
            guard let data = information[Information.export]?.first else { return nil }
            var facts = try ExportFacts(data)
            if let sizes = information[Information.blockSize]?.first {
                facts.blockSizes = try BlockSizes(sizes)
            }
            return facts
        }
    }
}

/// A metadata context.
struct Context: Hashable {
    var id: UInt32
    var name: String
}

/// Size and flags of an export.
struct ExportFacts: Hashable {
    var size: UInt64 = 0
    var flags: ExportFlag = []
    var blockSizes: BlockSizes?

    init() {}

    /// Decodes the ten bytes of EXPORT_NAME and `NBD_INFO_EXPORT`.
    init(_ data: [UInt8]) throws {
        var reader = ByteReader(data)
        guard let size = reader.number(as: UInt64.self),
            let flags = reader.number(as: UInt16.self), reader.remaining == 0
        else { throw Deviation("size and flags take \(data.count) bytes instead of 10") }
        self.size = size
        self.flags = ExportFlag(rawValue: flags)
    }
}

/// The three sizes of `NBD_INFO_BLOCK_SIZE`.
struct BlockSizes: Hashable {
    var minimum: UInt32
    var preferred: UInt32
    var maximumPayload: UInt32

    init(_ data: [UInt8]) throws {
        var reader = ByteReader(data)
        guard let minimum = reader.number(as: UInt32.self),
            let preferred = reader.number(as: UInt32.self),
            let maximum = reader.number(as: UInt32.self), reader.remaining == 0
        else { throw Deviation("NBD_INFO_BLOCK_SIZE has \(data.count + 2) bytes instead of 14") }
        self.minimum = minimum
        self.preferred = preferred
        maximumPayload = maximum
    }
}
