// Keeps the server going when the machine runs out of memory.

internal import LinuxIO
internal import Logging
internal import SystemPackage

/// What a process needs that this machine swaps to: memory is given back through it, so it must not
/// have to wait for memory, nor be chosen to be killed for want of it.
enum Protection {
    /// Takes every precaution that is allowed; the others are told of once, at level debug. For the
    /// calling thread and those it makes, the process's memory, and the whole process.
    static func begin(logger: Logger) {
        attempt("the process's memory is not locked", logger) { () throws(Errno) in
            try MemoryPressure.lockProcess()
        }
        attempt("the process is no I/O flusher", logger) { () throws(Errno) in
            try MemoryPressure.becomeFlusher()
        }
        attempt("the process may be killed for want of memory", logger) { () throws(Errno) in
            try MemoryPressure.neverKill()
        }
    }

    private static func attempt(
        _ consequence: Logger.Message, _ logger: Logger, _ step: () throws(Errno) -> Void
    ) {
        do throws(Errno) {
            try step()
        } catch {
            logger.debug(consequence, metadata: ["error": "\(error)"])
        }
    }
}
