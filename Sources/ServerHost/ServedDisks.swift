package import Logging
package import NBDServer
internal import Synchronization

/// The disks that a running server serves.
package final class ServedDisks: Sendable {
    private let exports = Mutex<[Export]>([])

    /// Sets the disks, when they are about to be served.
    func show(_ exports: [Export]) {
        self.exports.withLock { $0 = exports }
    }

    /// Whether the start has not come to serving yet.
    var isEmpty: Bool { exports.withLock(\.isEmpty) }

    /// Marks backings as kept after a graceful stop, when no client can write any more.
    func keepBackings() {
        for export in exports.withLock({ $0 }) { export.disk.keep() }
    }

    /// Logs a line per disk with its size and its resident memory, in bytes.
    func log(to logger: Logger) {
        for export in exports.withLock({ $0 }) { Self.log(export.disk, export.name, to: logger) }
    }

    /// Logs the line for one disk.
    package static func log(_ disk: RamDisk, _ name: String = "", to logger: Logger) {
        logger.notice(
            "disk",
            metadata: [
                "export": "\(name)", "size": "\(disk.size)", "resident": "\(disk.residentBytes)",
            ])
    }
}
