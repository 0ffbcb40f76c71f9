package import Observability

/// The resources of the control socket about checkpoints:
///
/// | request | parameters | does |
/// | --- | --- | --- |
/// | `GET /checkpoints` | | lists them |
/// | `POST /checkpoints` | `disk`, `name`, `full` | makes one |
/// | `POST /checkpoints/commit` | `disk`, `name` | commits it: the next one marks changes since it |
/// | `POST /checkpoints/abort` | `disk`, `name` | drops it |
///
/// Without `disk`, they apply to the first one. `full` is `true` or `false`.
package struct CheckpointCommands: ControlCommands {
    private let catalog: CheckpointCatalog

    package init(catalog: CheckpointCatalog) { self.catalog = catalog }

    package func perform(_ command: ControlCommand) throws(ControlError) -> String? {
        let disk = command.parameters["disk"]
        switch (command.method, command.path) {
        case ("GET", "/checkpoints"):
            return try json(catalog.all)
        case ("POST", "/checkpoints"):
            let isFull = command.parameters["full"] == "true"
            return try json(try catalog.create(disk: disk, name: name(command), isFull: isFull))
        case ("POST", "/checkpoints/commit"):
            try catalog.commit(disk: disk, name: name(command))
            return "{}"
        case ("POST", "/checkpoints/abort"):
            try catalog.abort(disk: disk, name: name(command))
            return "{}"
        default: return nil
        }
    }

    private func name(_ command: ControlCommand) throws(ControlError) -> String {
        try ContentName.parameter(of: command, "checkpoint")
    }
}
