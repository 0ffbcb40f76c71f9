// Blocking work, away from the few threads that Swift's tasks share.

internal import Glibc
internal import LinuxIO
internal import SystemPackage

/// Runs a function that may block on a thread of its own. With one processor all tasks share one
/// thread, and a signal has to be heard while a large disk is being made or a server is stopping.
func onThread<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        do throws(Errno) {
            _ = try Thread(name: "work") {
                continuation.resume(with: Swift.Result { try body() })
            }
        } catch {
            continuation.resume(throwing: Failure.system("cannot start a thread: \(error)"))
        }
    }
}

/// Writes to standard output at once; a reader that is gone is no reason to stop serving.
func standardOutput(_ text: String) {
    let bytes = Array(text.utf8)
    _ = unsafe write(STDOUT_FILENO, bytes, bytes.count)
}
