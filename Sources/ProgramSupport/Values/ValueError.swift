/// The reason why a text is no value of an option: sentences with full stops.
package struct ValueError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
