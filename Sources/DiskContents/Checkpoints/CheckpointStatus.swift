internal import FoundationEssentials
internal import ProgramSupport

/// A checkpoint, as the control socket describes it.
package struct CheckpointStatus: Sendable, Codable, Equatable {
    package enum State: String, Sendable, Codable {
        /// Clients can read it, until it is committed or aborted.
        case open
        /// It was open, and the memory for preserved pages was used up. It can only be aborted.
        case lost
        /// The last committed checkpoint. The bitmap of the next one marks changes since it.
        case committed
    }

    /// The export of the disk.
    package let disk: String
    /// The name of the checkpoint.
    package let name: String
    package let state: State
    /// The checkpoint since which the bitmap marks changes; nil when all of the disk is dirty. Only an open one has it.
    package let base: String?
    /// The name under which clients can read it; nil when they cannot.
    package let export: String?
    /// The metadata context of its dirty bitmap; nil when clients cannot read it.
    package let bitmap: String?
    /// When it was made, in seconds since 1970.
    package let createdUnixSeconds: Double
    /// The size of the disk in bytes.
    package let sizeBytes: UInt64
    /// Dirty bytes in the bitmap; for a committed one, bytes that have changed since. Nil when it is lost.
    package let dirtyBytes: UInt64?
    /// The number of clients that have it open.
    package let openConnections: Int
}

extension CheckpointStatus {
    /// Returns checkpoints as a table for people.
    package static func table(_ all: [CheckpointStatus]) -> String {
        guard !all.isEmpty else { return "There are no checkpoints.\n" }
        let now = Date().timeIntervalSince1970
        return TextTable(
            [
                .left("CHECKPOINT"), .left("STATE"), .right("AGE"), .left("SINCE"), .right("DIRTY"),
                .right("CLIENTS"),
            ],
            rows: all.map {
                [
                    "\($0.disk)@\($0.name)", $0.state.rawValue,
                    Units.age(seconds: now - $0.createdUnixSeconds),
                    $0.base ?? (($0.state == .committed) ? "" : "(everything)"),
                    $0.dirtyBytes.map { Units.bytes(Double($0)) } ?? "",
                    "\($0.openConnections)",
                ]
            }
        ).text
    }
}
