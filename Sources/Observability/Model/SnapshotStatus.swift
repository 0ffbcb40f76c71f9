internal import FoundationEssentials
internal import ProgramSupport

/// A snapshot, as the control socket describes it.
package struct SnapshotStatus: Sendable, Codable, Equatable {
    /// The export of the disk.
    package let disk: String
    /// The name of the snapshot.
    package let name: String
    /// The name under which clients can read it.
    package let export: String
    /// When it was taken, in seconds since 1970.
    package let createdUnixSeconds: Double
    /// The size of the disk in bytes.
    package let sizeBytes: UInt64
    /// Whether the memory for preserved pages was used up, so that it cannot be read.
    package let isLost: Bool
    /// The number of clients that have it open.
    package let openConnections: Int
    /// Bytes that all snapshots of the disk take for preserved pages.
    package let preservedBytes: UInt64

    package init(
        disk: String, name: String, export: String, createdUnixSeconds: Double, sizeBytes: UInt64,
        isLost: Bool, openConnections: Int, preservedBytes: UInt64
    ) {
        self.disk = disk
        self.name = name
        self.export = export
        self.createdUnixSeconds = createdUnixSeconds
        self.sizeBytes = sizeBytes
        self.isLost = isLost
        self.openConnections = openConnections
        self.preservedBytes = preservedBytes
    }
}

extension SnapshotStatus {
    /// Returns snapshots as a table for people.
    package static func table(_ all: [SnapshotStatus]) -> String {
        guard !all.isEmpty else { return "There are no snapshots.\n" }
        let now = Date().timeIntervalSince1970
        return TextTable(
            [.left("EXPORT"), .right("AGE"), .right("CLIENTS"), .right("MEMORY"), .left("STATE")],
            rows: all.map {
                [
                    $0.export, Units.age(seconds: now - $0.createdUnixSeconds),
                    "\($0.openConnections)", Units.bytes(Double($0.preservedBytes)),
                    $0.isLost ? "lost" : "readable",
                ]
            }
        ).text
    }
}
