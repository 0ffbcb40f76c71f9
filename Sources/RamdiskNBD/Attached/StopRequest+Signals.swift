// The signals that ask for an end, as a wish that a thread finds.

internal import Glibc
internal import LinuxIO
internal import SystemPackage

extension StopRequest {
    /// SIGTERM, SIGINT and SIGHUP are wishes as long as the process runs, and end nothing by themselves.
    /// To be called before there are other threads.
    static func fromSignals() throws(Failure) -> StopRequest {
        do throws(Errno) {
            let request = try StopRequest()
            try AwaitedSignals([SIGTERM, SIGINT, SIGHUP]).handle { _ in request.request() }
            return request
        } catch {
            throw .system("cannot make a thread that waits for signals: \(error)")
        }
    }
}
