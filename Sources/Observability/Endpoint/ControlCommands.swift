package import ProgramSupport

/// A request to the control socket that another module handles: one that changes something, or reads state that the
/// other module owns.
package struct ControlCommand: Sendable, Equatable {
    /// The HTTP method: GET, POST or DELETE.
    package let method: String
    /// The path of the resource, with its leading slash.
    package let path: String
    /// The query, with percent-encoding removed. The last of two equal names counts.
    package let parameters: [String: String]

    package init(_ method: String, _ path: String, _ parameters: [String: String] = [:]) {
        self.method = method
        self.path = path
        self.parameters = parameters
    }
}

/// A handler for commands of a control socket.
package protocol ControlCommands: Sendable {
    /// Performs a command, and returns the response's body as JSON, without the line feed; nil when there is no such
    /// resource. Called on a thread of its own, so it may take long.
    func perform(_ command: ControlCommand) throws(ControlError) -> String?

    /// Performs a command whose response is a stream of bytes; nil when there is no such resource. Called as
    /// ``perform(_:)`` is, and before it. The default knows none.
    func stream(_ command: ControlCommand) throws(ControlError) -> ControlPieces?
}

extension ControlCommands {
    package func stream(_ command: ControlCommand) throws(ControlError) -> ControlPieces? { nil }
}

/// Returns the next piece of a stream of bytes; nil behind the last.
package typealias ControlPieces = @Sendable () -> [UInt8]?

/// The reason why a command was not performed.
package struct ControlError: Error, Equatable {
    package enum Reason: Sendable {
        /// The command makes no sense. 400
        case invalid
        /// The named object does not exist. 404
        case missing
        /// It cannot be done now. 409
        case conflict
        /// It was tried, and a call of the system has failed. 500
        case failed
    }

    package let reason: Reason
    /// One sentence for people.
    package let sentence: String
    /// The kind of failure, which the client's exit code tells; nil: as the reason implies.
    let kind: Failure.Kind?

    package init(_ reason: Reason, _ sentence: String) {
        self.reason = reason
        self.sentence = sentence
        kind = nil
    }

    /// A failure of the program, whose kind reaches the client.
    package init(_ failure: Failure) {
        reason =
            switch failure.kind {
            case .usage: .invalid
            case .noInput, .system, .cannotCreate, .inputOutput: .failed
            default: .conflict
            }
        sentence = failure.sentence
        kind = failure.kind
    }
}
