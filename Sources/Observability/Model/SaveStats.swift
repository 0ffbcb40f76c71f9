/// The state of the saves of one disk to its image.
package struct SaveStats: Codable, Sendable, Equatable {
    /// The name of the disk's export.
    package var export: String
    /// The path of the image.
    package var image: String
    /// The progress of the restore; nil when it is complete.
    package var restore: RestoreStats?
    /// The interval between saves; nil when the disk is saved only when the server stops or a command asks for it.
    package var intervalSeconds: Double?
    /// The number of the save that the image holds; 0 when this program has not saved it yet.
    package var generation: UInt64
    /// When the image was saved, in seconds since 1970; nil when it never was.
    package var savedUnixSeconds: Double?
    /// Bytes that this server's last save wrote to the image; nil before its first one.
    package var writtenBytes: UInt64?
    /// The duration of this server's last save; nil before its first one.
    package var seconds: Double?
    /// Bytes of pages that have changed since.
    package var dirtyBytes: UInt64
    /// Saves of this server that have succeeded, and that have failed.
    package var saves: Int
    package var failures: Int
    /// The reason why the last save failed; nil when it did not.
    package var error: String?

    package init(export: String, image: String) {
        self.export = export
        self.image = image
        generation = 0
        dirtyBytes = 0
        saves = 0
        failures = 0
    }
}

/// The progress of the restore of a disk that is served meanwhile.
package struct RestoreStats: Codable, Sendable, Equatable {
    /// Bytes of the image that have been read.
    package var bytesDone: UInt64
    /// Bytes to read; an estimate for an image that another program made.
    package var bytesTotal: UInt64
    /// The reason why a part cannot be restored; nil when there was no error so far.
    package var error: String?

    package init(bytesDone: UInt64, bytesTotal: UInt64, error: String?) {
        self.bytesDone = bytesDone
        self.bytesTotal = bytesTotal
        self.error = error
    }

    /// The progress in words: "restoring 43 %".
    package var text: String {
        let part = bytesTotal == 0 ? 0 : Double(bytesDone) / Double(bytesTotal)
        return "restoring \(Int(part * 100)) %"
    }
}
