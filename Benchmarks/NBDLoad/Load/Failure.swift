/// The reason why nbd-load has no result.
struct Failure: Error, CustomStringConvertible {
    /// One sentence, without a full stop.
    let description: String

    init(_ sentence: String) { description = sentence }
}
