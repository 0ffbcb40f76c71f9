package import Observability

/// The resources of the control socket about snapshots:
///
/// | request | parameters | does |
/// | --- | --- | --- |
/// | `GET /snapshots` | | lists them |
/// | `POST /snapshots` | `disk`, `name` | takes one |
/// | `DELETE /snapshots` | `disk`, `name`, `force` | deletes one |
/// | `GET /snapshots/contents` | `disk`, `name` | returns its contents, as ``SentDisk`` has them, for a server that clones them |
/// | `POST /snapshots/rollback` | `disk`, `name`, `force` | restores the disk to a snapshot |
///
/// Without `disk`, they apply to the first one. `force` is `true` or `false`.
package struct SnapshotCommands: ControlCommands {
    package let catalog: SnapshotCatalog

    package init(catalog: SnapshotCatalog) { self.catalog = catalog }

    package func perform(_ command: ControlCommand) throws(ControlError) -> String? {
        let disk = command.parameters["disk"]
        let isForced = command.parameters["force"] == "true"
        switch (command.method, command.path) {
        case ("GET", "/snapshots"):
            return try json(catalog.all)
        case ("POST", "/snapshots"):
            return try json(try catalog.create(disk: disk, name: try name(command)))
        case ("DELETE", "/snapshots"):
            try catalog.delete(disk: disk, name: try name(command), isForced: isForced)
            return "{}"
        case ("POST", "/snapshots/rollback"):
            try catalog.rollBack(disk: disk, name: try name(command), isForced: isForced)
            return "{}"
        default: return nil
        }
    }

    package func stream(_ command: ControlCommand) throws(ControlError) -> ControlPieces? {
        guard (command.method, command.path) == ("GET", "/snapshots/contents") else { return nil }
        return SentDisk(
            try catalog.find(disk: command.parameters["disk"], name: try name(command)).snapshot
        ).next
    }

    private func name(_ command: ControlCommand) throws(ControlError) -> String {
        try ContentName.parameter(of: command, "snapshot")
    }
}
