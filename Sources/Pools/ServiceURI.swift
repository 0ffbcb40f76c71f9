internal import NBDProtocol
internal import ServiceDiscovery

/// A service in the domain name system, each server of which is a member: `nbd+srv://_nbd._tcp.example/export`. RFC 2782
package struct ServiceURI: Sendable, Equatable, CustomStringConvertible {
    /// The name of the service, with at least one dot.
    let name: String
    /// The name of the export of each server.
    private let exportName: String

    package static let scheme = "nbd+srv://"

    /// Largest number of bytes of a name as a text. RFC 1035, section 2.3.4: 255 with the lengths of its labels
    private static let longestName = 253

    /// Parses the text of a service; nil when it is none.
    package init?(_ text: String) {
        guard text.hasPrefix(Self.scheme) else { return nil }
        let parts = text.dropFirst(Self.scheme.count).split(
            separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let labels = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        guard parts[0].utf8.count <= Self.longestName, labels.count > 1, labels[0].hasPrefix("_"),
            labels.allSatisfy(Self.isLabel),
            let exportName = PercentEncoding.decode(parts.count > 1 ? parts[1] : ""),
            parts.count == 1 || !parts[1].contains(where: { "?#".contains($0) }),
            exportName.utf8.count <= Limits.stringLength
        else { return nil }
        name = String(parts[0])
        self.exportName = exportName
    }

    private static func isLabel(_ text: Substring) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    /// The export of a server of the service.
    func export(of server: ServiceRecord) -> NBDURI {
        NBDURI(.tcp(host: server.target, port: server.port), exportName: exportName)
    }

    package var description: String {
        Self.scheme + name
            + (exportName.isEmpty ? "" : "/" + PercentEncoding.encode(exportName, keeping: "/:@"))
    }
}
