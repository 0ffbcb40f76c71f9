/// The messages that tests send with a raw client, as in the specification.
extension RawClient {
    /// A reply without its data.
    public struct Reply: Sendable, Equatable {
        /// 0, or the error number of the specification.
        public let error: UInt32
        /// The cookie of the request.
        public let cookie: UInt64

        /// A reply to compare with.
        public init(error: UInt32, cookie: UInt64) {
            self.error = error
            self.cookie = cookie
        }
    }

    /// The commands, with their numbers. ("Request types")
    public enum Command: UInt16, Sendable {
        case read = 0
        case write = 1
        case disconnect = 2
        case trim = 4
        case writeZeroes = 6
    }

    /// The error in the replies of a server that is stopping. `NBD_ESHUTDOWN`
    public static var shutdownError: UInt32 { 108 }

    /// Receives the greeting and opens an export with the oldest option, which needs no parsing of replies.
    /// Returns the size of the export in bytes. (`NBD_OPT_EXPORT_NAME`)
    @discardableResult
    public func enter(_ export: String = "") throws -> UInt64 {
        _ = try receive(18)
        let name = Array(export.utf8)
        // NBD_FLAG_C_FIXED_NEWSTYLE and NBD_FLAG_C_NO_ZEROES; IHAVEOPT; the option.
        try send(
            big(UInt32(3)) + Array("IHAVEOPT".utf8) + big(UInt32(1)) + big(UInt32(name.count))
                + name)
        let answer = try receive(10)
        return answer.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Returns the bytes of a request's header. ("Request message")
    public static func request(
        _ command: Command, cookie: UInt64 = 0, offset: UInt64 = 0, length: UInt32 = 0
    ) -> [UInt8] {
        big(UInt32(0x2560_9513)) + big(UInt16(0)) + big(command.rawValue) + big(cookie)
            + big(offset) + big(length)
    }

    /// Receives the header of a reply. ("Simple reply message")
    public func receiveReply() throws -> Reply {
        let bytes = try receive(16)
        guard Array(bytes.prefix(4)) == Self.big(UInt32(0x6744_6698)) else {
            throw TestError("a reply does not begin with its magic number: \(bytes)")
        }
        return Reply(
            error: bytes[4..<8].reduce(0) { $0 << 8 | UInt32($1) },
            cookie: bytes[8..<16].reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// Reads through the connection.
    public func read(at offset: UInt64, count: Int) throws -> [UInt8] {
        try send(Self.request(.read, cookie: 1, offset: offset, length: UInt32(count)))
        try expectSuccess(cookie: 1)
        return try receive(count)
    }

    /// Writes through the connection.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws {
        let count = UInt32(bytes.count)
        try send(Self.request(.write, cookie: 2, offset: offset, length: count) + bytes)
        try expectSuccess(cookie: 2)
    }

    private func expectSuccess(cookie: UInt64) throws {
        let reply = try receiveReply()
        guard reply == Reply(error: 0, cookie: cookie) else {
            throw TestError("a request failed: \(reply)")
        }
    }

    private func big(_ number: some FixedWidthInteger) -> [UInt8] { Self.big(number) }

    private static func big<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        (0..<Number.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    }
}
