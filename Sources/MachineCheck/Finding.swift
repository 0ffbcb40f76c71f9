/// The result of one check.
package struct Finding: Sendable, Equatable, Encodable {
    /// The state of the thing that was checked.
    package enum State: String, Sendable, Encodable {
        /// Present.
        case ok
        /// Absent: something that only some users need does not work, or is slower.
        case optional
        /// Absent: `up` and `attach` do not work.
        case missing
    }

    /// The name of what was checked, in one or two words.
    package let name: String
    package let state: State
    /// A description of what was found, without a full stop.
    package let text: String
    /// A command that provides what is missing; nil when nothing is, or no command does.
    package let remedy: String?

    static func ok(_ name: String, _ text: String) -> Finding {
        Finding(name: name, state: .ok, text: text, remedy: nil)
    }

    static func optional(_ name: String, _ text: String, remedy: String?) -> Finding {
        Finding(name: name, state: .optional, text: text, remedy: remedy)
    }

    static func missing(_ name: String, _ text: String, remedy: String?) -> Finding {
        Finding(name: name, state: .missing, text: text, remedy: remedy)
    }
}
