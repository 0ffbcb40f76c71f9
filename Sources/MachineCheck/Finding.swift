/// What the check of one thing has found.
package struct Finding: Sendable, Equatable, Encodable {
    /// How the thing is.
    package enum State: String, Sendable, Encodable {
        /// As it should be.
        case ok
        /// Not there, so that something that not everyone needs does not work or is slower.
        case optional
        /// Not there, so that `up` and `attach` do not work.
        case missing
    }

    /// What was checked, in one or two words.
    package let name: String
    package let state: State
    /// What was found, without a full stop.
    package let text: String
    /// A command that mends it; nil when there is nothing to mend, or no command does.
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
