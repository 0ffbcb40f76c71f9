package import Observability

/// The image of a disk, and the state of its saves. Everything except the path is nil when the disk's server is dead or
/// has no control socket.
package struct ListedImage: Sendable, Equatable {
    package var path: String
    /// When the image was saved, in seconds since 1970; nil also when it never was.
    package var savedUnixSeconds: Double?
    /// The duration of the server's last save, and the number of bytes that it wrote; nil also before the first one.
    package var seconds: Double?
    var writtenBytes: UInt64?
    /// Bytes of pages that have changed since.
    package var dirtyBytes: UInt64?
    /// Saves of the server that have failed.
    var failures: Int?
    /// The reason why the last save failed; nil also when it did not.
    package var error: String?
    /// The progress of the restore; nil also when it is complete.
    package var restore: RestoreStats?
}

extension ListedImage {
    init(_ saves: SaveStats) {
        self.init(
            path: saves.image, savedUnixSeconds: saves.savedUnixSeconds, seconds: saves.seconds,
            writtenBytes: saves.writtenBytes, dirtyBytes: saves.dirtyBytes,
            failures: saves.failures, error: saves.error, restore: saves.restore)
    }
}

/// A missing value is null. The keys are those of `GET /saves`, but for the path.
extension ListedImage: Encodable {
    private enum CodingKeys: CodingKey {
        case path, savedUnixSeconds, seconds, writtenBytes, dirtyBytes, failures, error, restore
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(path, forKey: .path)
        try object.encode(savedUnixSeconds, forKey: .savedUnixSeconds)
        try object.encode(seconds, forKey: .seconds)
        try object.encode(writtenBytes, forKey: .writtenBytes)
        try object.encode(dirtyBytes, forKey: .dirtyBytes)
        try object.encode(failures, forKey: .failures)
        try object.encode(error, forKey: .error)
        try object.encode(restore, forKey: .restore)
    }
}
