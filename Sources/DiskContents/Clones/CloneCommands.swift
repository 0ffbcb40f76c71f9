package import Observability

/// The resources of the control socket about clones:
///
/// | request | parameters | does |
/// | --- | --- | --- |
/// | `GET /clones` | | lists them |
/// | `POST /clones` | `disk`, `snapshot`, `name` | makes one |
/// | `DELETE /clones` | `name`, `force` | deletes one |
///
/// Without `disk`, a clone is made of the first one, and without `snapshot`, of its present contents. `force` is
/// `true` or `false`.
package struct CloneCommands: ControlCommands {
    private let catalog: CloneCatalog

    init(catalog: CloneCatalog) { self.catalog = catalog }

    package func perform(_ command: ControlCommand) throws(ControlError) -> String? {
        switch (command.method, command.path) {
        case ("GET", "/clones"):
            return try json(catalog.all)
        case ("POST", "/clones"):
            return try json(
                try catalog.create(
                    name: try ContentName.parameter(of: command, "clone"),
                    disk: command.parameters["disk"],
                    snapshot: command.parameters["snapshot"]))
        case ("DELETE", "/clones"):
            try catalog.delete(
                name: try ContentName.parameter(of: command, "clone"),
                isForced: command.parameters["force"] == "true")
            return "{}"
        default: return nil
        }
    }
}
