package import NBDServer
package import Observability
internal import ProgramSupport

/// The resources of the control socket about saving:
///
/// | request | parameters | does |
/// | --- | --- | --- |
/// | `GET /saves` | | returns the state of the saves of each disk that has an image |
/// | `POST /saves` | `disk`, `path` | saves a disk, to its image if there is no path |
/// | `GET /contents` | `disk` | returns a disk at one instant, in the format of ``SentDisk``, for a client that saves
/// it |
///
/// Without `disk`, it is the first one. `path` is absolute. A server that confines itself can write only beside its
/// images.
package struct SaveCommands: ControlCommands {
    private let server: Server
    private let saved: [SavedDisk]

    package init(server: Server, saved: [SavedDisk]) {
        self.server = server
        self.saved = saved
    }

    package func perform(_ command: ControlCommand) throws(ControlError) -> String? {
        switch (command.method, command.path) {
        case ("GET", "/saves"): return try json(saved.map(\.stats))
        case ("POST", "/saves"):
            return try json(
                try save(command.parameters["disk"], to: command.parameters["path"]))
        default: return nil
        }
    }

    package func stream(_ command: ControlCommand) throws(ControlError) -> ControlPieces? {
        guard (command.method, command.path) == ("GET", "/contents") else { return nil }
        let (export, disk) = try server.disk(command.parameters["disk"])
        do throws(Failure) {
            guard let own = saved.first(where: { $0.export == export }) else {
                return SentDisk(try SavedDisk.snapshot(of: disk)).next
            }
            return SentDisk(try own.frozenSnapshot(of: disk)).next
        } catch {
            throw ControlError(error)
        }
    }

    private func save(_ name: String?, to path: String?) throws(ControlError) -> SaveStats {
        let (export, disk) = try server.disk(name)
        let own = saved.first { $0.export == export }
        do throws(Failure) {
            if let path {
                guard path.hasPrefix("/") else {
                    throw .usage("the path \(path) is not absolute")
                }
                if let own { return try own.save(to: path) }
                return try SavedDisk.save(disk, to: path, export: export)
            }
            guard let own else {
                throw .usage(
                    "the disk \"\(export)\" has no image: give a path, or start the server with --image"
                )
            }
            return try own.save()
        } catch {
            throw ControlError(error)
        }
    }
}
