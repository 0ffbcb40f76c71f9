package import Observability
internal import ProgramSupport

/// Commands of several kinds. The first kind that knows a command performs it.
package struct ContentCommands: ControlCommands {
    private let kinds: [any ControlCommands]
    private let saved: [SavedDisk]

    /// - Parameter saved: disks that may be served before they are restored. A command that makes something of a disk
    ///   waits for the restore.
    init(_ kinds: [any ControlCommands], saved: [SavedDisk]) {
        self.kinds = kinds
        self.saved = saved
    }

    package func perform(_ command: ControlCommand) throws(ControlError) -> String? {
        if command.method == "POST" {
            do throws(Failure) {
                // Wait here, where this thread holds no lock that others need.
                let name = command.parameters["disk"]
                for disk in saved where name == nil || disk.export == name {
                    try disk.awaitRestore()
                }
            } catch {
                throw ControlError(error)
            }
        }
        for kind in kinds {
            if let result = try kind.perform(command) { return result }
        }
        return nil
    }

    package func stream(_ command: ControlCommand) throws(ControlError) -> ControlPieces? {
        for kind in kinds {
            if let pieces = try kind.stream(command) { return pieces }
        }
        return nil
    }
}

extension ControlCommands {
    /// Returns a value as the body of a response.
    func json(_ value: some Encodable) throws(ControlError) -> String {
        guard let line = try? jsonLine(value) else {
            throw ControlError(.conflict, "the result cannot be encoded as JSON")
        }
        return String(line.dropLast())
    }
}
