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
