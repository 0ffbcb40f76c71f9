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
