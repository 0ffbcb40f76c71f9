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
        for export in exports.withLock({ $0 }) { export.ramDisk?.keep() }
    }

    /// Logs a line per disk with its size and its resident memory, in bytes.
    func log(to logger: Logger) {
        for export in exports.withLock({ $0 }) { Self.log(export, to: logger) }
    }

    /// Logs the line for one disk; for clones, that of all of them and their template.
    package static func log(_ export: Export, to logger: Logger) {
        let clones = export.template.map { $0.dataBytes + $0.clonedBytes }
        let resident = export.ramDisk?.residentBytes ?? clones ?? 0
        logger.notice(
            "disk",
            metadata: [
                "export": "\(export.name)", "size": "\(export.size)", "resident": "\(resident)",
            ])
    }
}
