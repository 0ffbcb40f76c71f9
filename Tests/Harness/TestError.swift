/// A failure in a test's environment or in a program that it started, as one sentence.
public struct TestError: Error, CustomStringConvertible {
    /// What happened.
    public let description: String

    /// An error with its sentence.
    public init(_ description: String) { self.description = description }
}

/// Checks a condition every few milliseconds until it holds. Throws when it does not in time.
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
