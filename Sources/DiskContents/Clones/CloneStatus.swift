internal import FoundationEssentials
internal import ProgramSupport

/// A clone, as the control socket describes it.
package struct CloneStatus: Sendable, Codable, Equatable {
    /// The name under which clients can use it.
    package let export: String
    /// The export that it was made from: a disk, a snapshot or clones.
    package let source: String
    /// When it was made, in seconds since 1970.
    package let createdUnixSeconds: Double
    /// The size of the clone in bytes.
    package let sizeBytes: UInt64
    /// Bytes of memory of the clone: the pages that were written.
    package let ownBytes: UInt64
    /// Bytes of data in its template, which take up memory once for all clones of the template.
    package let templateBytes: UInt64
    /// The number of clients that have it open.
    package let openConnections: Int
}

extension CloneStatus {
    /// Returns clones as a table for people.
    package static func table(_ all: [CloneStatus]) -> String {
        guard !all.isEmpty else { return "There are no clones.\n" }
        let now = Date().timeIntervalSince1970
        return TextTable(
            [
                .left("EXPORT"), .left("SOURCE"), .right("AGE"), .right("WRITTEN"),
                .right("TEMPLATE"), .right("CLIENTS"),
            ],
            rows: all.map {
                [
                    $0.export, $0.source, Units.age(seconds: now - $0.createdUnixSeconds),
                    Units.bytes(Double($0.ownBytes)), Units.bytes(Double($0.templateBytes)),
                    "\($0.openConnections)",
                ]
            }
        ).text
    }
}
