package import Logging
package import NBDServer
internal import Synchronization

/// The disks that are served, once they are.
package final class DiskFigures: Sendable {
    private let exports = Mutex<[Export]>([])

    /// These are served from now on.
    package func show(_ exports: [Export]) {
        self.exports.withLock { $0 = exports }
    }

    /// Whether none is served yet.
    package var isEmpty: Bool { exports.withLock(\.isEmpty) }

    /// Nobody writes to them any more: those with a backing can be kept.
    package func leaveInOrder() {
        for export in exports.withLock({ $0 }) { export.disk.keep() }
    }

    /// Logs a line for each disk: its size and its memory, in bytes.
    package func log(to logger: Logger) {
        for export in exports.withLock({ $0 }) { Self.log(export.disk, export.name, to: logger) }
    }

    /// The same for one disk.
    package static func log(_ disk: RamDisk, _ name: String = "", to logger: Logger) {
        logger.notice(
            "disk",
            metadata: [
                "export": "\(name)", "size": "\(disk.size)", "resident": "\(disk.residentBytes)",
            ])
    }
}
