/// Something that went wrong in a test's surroundings or in what it started; one sentence.
public struct TestError: Error, CustomStringConvertible {
    /// What happened.
    public let description: String

    /// A mishap.
    public init(_ description: String) { self.description = description }
}

/// Waits until a condition holds, and looks every few milliseconds; throws when it never does.
public func eventually(
    _ what: String, within limit: Duration = .seconds(30),
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else {
            throw TestError("this did not happen within \(limit): \(what)")
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}
