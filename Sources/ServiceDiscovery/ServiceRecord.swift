/// A server of a service, as a record of type SRV names it. RFC 2782
package struct ServiceRecord: Sendable, Hashable {
    /// Servers with a smaller one come first.
    package let priority: UInt16
    /// The share of the clients that a server wants, among those of its priority.
    package let weight: UInt16
    package let port: UInt16
    /// The name of the host, without a dot at its end; empty when the service is not offered.
    package let target: String

    package init(priority: UInt16, weight: UInt16, port: UInt16, target: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.target = target
    }

    /// Returns records in an order that does not depend on that of an answer, which name servers rotate: by priority,
    /// then the larger weight, then name and port. Each occurs once.
    package static func ordered(_ records: [ServiceRecord]) -> [ServiceRecord] {
        Set(records).sorted { first, second in
            (first.priority, second.weight, first.target, first.port)
                < (second.priority, first.weight, second.target, second.port)
        }
    }
}

extension ServiceRecord {
    /// An answer of a name server that does not follow RFC 1035.
    package struct Malformed: Error, Equatable {
        package init() {}
    }

    /// Largest number of bytes of a name. RFC 1035, section 2.3.4
    private static let longestName = 255
    /// Most pointers in a name: one for each label. A name of 255 bytes has at most 127 labels of one byte. Without a
    /// limit, a short message can make each of its names as long to read as the message.
    fileprivate static let mostPointers = 127

    /// Returns the records of type SRV among the answers of a message. The message is that of a stranger: each length in
    /// it is checked, and a name may be compressed only with what is before it. RFC 1035, section 4.1
    package static func all(inAnswer message: [UInt8]) throws(Malformed) -> [ServiceRecord] {
        var reader = MessageReader(message)
        _ = try reader.bytes(4)  // The query's number and the flags.
        let questions = try reader.number()
        let answers = try reader.number()
        _ = try reader.bytes(4)  // The numbers of records that follow the answers.
        for _ in 0..<questions {
            _ = try reader.name(longest: longestName)
            _ = try reader.bytes(4)  // The type and the class.
        }
        var found: [ServiceRecord] = []
        for _ in 0..<answers {
            _ = try reader.name(longest: longestName)
            let (type, kind) = (try reader.number(), try reader.number())
            _ = try reader.bytes(4)  // How long it may be kept.
            let length = Int(try reader.number())
            let end = reader.position + length
            // SRV, IN
            if type == 33, kind == 1 {
                found.append(
                    ServiceRecord(
                        priority: try reader.number(), weight: try reader.number(),
                        port: try reader.number(), target: try reader.name(longest: longestName)))
                guard reader.position == end else { throw Malformed() }
            } else {
                _ = try reader.bytes(length)
            }
        }
        return found
    }
}

/// Reads a message from its start to its end.
private struct MessageReader {
    private let message: [UInt8]
    private(set) var position = 0

    init(_ message: [UInt8]) { self.message = message }

    mutating func bytes(_ count: Int) throws(ServiceRecord.Malformed) -> ArraySlice<UInt8> {
        guard count <= message.count - position else { throw ServiceRecord.Malformed() }
        defer { position += count }
        return message[position..<position + count]
    }

    /// Reads 16 bits in network order.
    mutating func number() throws(ServiceRecord.Malformed) -> UInt16 {
        try bytes(2).reduce(0) { $0 << 8 | UInt16($1) }
    }

    /// Reads a name: labels, each after its length. A length of 192 or more is the upper half of the position at which the
    /// name goes on.
    mutating func name(longest: Int) throws(ServiceRecord.Malformed) -> String {
        var labels: [Substring] = []
        var length = 0
        var pointers = 0
        var end: Int?
        while true {
            let start = position
            let first = try bytes(1)[start]
            if first == 0 { break }
            if first >= 0xc0 {
                position = start
                let target = Int(try number() & 0x3fff)
                pointers += 1
                // Always towards the start, so that it ends.
                guard target < start, pointers <= ServiceRecord.mostPointers else {
                    throw ServiceRecord.Malformed()
                }
                end = end ?? position
                position = target
                continue
            }
            let label = try bytes(Int(first))
            length += label.count + 1
            guard first < 64, length < longest, label.allSatisfy(Self.isPartOfName) else {
                throw ServiceRecord.Malformed()
            }
            labels.append(Substring(decoding: label, as: UTF8.self))
        }
        position = end ?? position
        return labels.joined(separator: ".")
    }

    /// Letters, digits, "-" and "_": a byte that is none of these cannot be part of a host's name.
    private static func isPartOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
