internal import CLinux
internal import LinuxIO

/// Asks name servers for the servers of a service. The C library sends the query: it knows the servers of resolv.conf(5),
/// repeats what is lost, and uses TCP for long answers.
package struct ServiceLookup: Sendable {
    /// The only name server to ask; nil: those of resolv.conf(5).
    private let server: (address: String, port: UInt16)?

    /// - Parameter server: the IPv4 address and port of the only server to ask; nil: those of the system.
    package init(server: (address: String, port: UInt16)? = nil) { self.server = server }

    /// The reason why a service has no servers.
    package enum Failure: Error, Equatable, CustomStringConvertible {
        /// There is no such name.
        case noName
        /// The name has no record of type SRV.
        case noRecords
        /// A record says that the service is not offered. RFC 2782, Target
        case notOffered
        /// No name server has replied, or those that have could not find out. h_errno, TRY_AGAIN
        case noReply
        /// The name servers refuse to reply, or the C library cannot ask.
        case refused
        /// The reply follows no protocol.
        case malformed

        package var description: String {
            switch self {
            case .noName: "no such name exists"
            case .noRecords: "the name has no SRV record"
            case .notOffered: "its SRV record says that the service is not offered"
            case .noReply: "no name server has given an answer"
            case .refused: "the name servers refuse to reply"
            case .malformed: "the name server's reply is not a DNS message"
            }
        }
    }

    /// Most bytes of an answer: what TCP can carry. RFC 1035, section 4.2.2
    private static let capacity = 65_535

    /// Returns the servers of a service, `_nbd._tcp.example`, in a fixed order; at least one. How long it waits for name
    /// servers that do not reply is a setting of resolv.conf(5). res_nquery(3)
    package func callAsFunction(_ name: String) throws(Failure) -> [ServiceRecord] {
        var answer = [UInt8](repeating: 0, count: Self.capacity)
        // Sound: the call writes at most the array's count of bytes, and keeps no pointer.
        let result = unsafe clinux_query_services(
            name, server?.address, server?.port ?? 0, &answer, CInt(answer.count))
        guard result >= 0 else {
            switch result {
            case -1: throw .noName
            case -2: throw .noReply
            case -4: throw .noRecords
            default: throw .refused
            }
        }
        let records: [ServiceRecord]
        do throws(ServiceRecord.Malformed) {
            records = try ServiceRecord.all(inAnswer: Array(answer.prefix(Int(result))))
        } catch {
            throw .malformed
        }
        guard !records.isEmpty else { throw .noRecords }
        let offered = records.filter { !$0.target.isEmpty }
        guard !offered.isEmpty else { throw .notOffered }
        return ServiceRecord.ordered(offered)
    }
}
