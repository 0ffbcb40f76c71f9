// The signals that ask for an end, as a wish that a thread finds.

internal import LinuxIO
internal import SystemPackage
internal import UnixSignals

extension StopRequest {
    /// Listens to SIGTERM, SIGINT and SIGHUP as long as the process runs.
    struct Signals {
        /// From here on they are wishes, and end nothing by themselves.
        func trap() async throws -> StopRequest {
            let request: StopRequest
            do throws(Errno) {
                request = try StopRequest()
            } catch {
                throw Failure.system("cannot make a descriptor: \(error)")
            }
            let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
            Task { for await _ in signals { request.request() } }
            return request
        }
    }
}
