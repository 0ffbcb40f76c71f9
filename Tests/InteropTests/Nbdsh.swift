import Harness
import Testing

/// Runs Python against a server; what the script prints is the answer.
///
/// A script finds `h`, connected to the first export; `size`; `attempt(f)`, which returns "done" or
/// the name of the error; and `connect()` for more connections.
func nbdsh(_ uri: String, _ script: String) async throws -> String {
    // Debian's module is for Debian's Python; another may come first in PATH.
    let python = Program("/usr/bin/python3", package: "python3-libnbd")
    let ending = try await python.run(["-c", prelude + script, uri])
    guard !ending.errors.contains("No module named 'nbd'") else {
        throw TestError("Python's module nbd is missing; install Debian's package python3-libnbd")
    }
    guard ending.status.isSuccess else {
        throw TestError("\(ending.status) from this script:\n\(script)\n\(ending.errors)")
    }
    return ending.output
}

private let prelude = """
    import nbd, sys

    def connect(structured=True):
        h = nbd.NBD()
        h.set_strict_mode(0)
        h.set_request_structured_replies(structured)
        h.connect_uri(sys.argv[1])
        return h

    def attempt(f):
        try:
            f()
            return "done"
        except nbd.Error as error:
            return error.errno

    h = connect()
    size = h.get_size()


    """
