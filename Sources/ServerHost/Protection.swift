internal import LinuxHost
internal import LinuxIO
package import Logging
package import NBDServer
internal import Synchronization
internal import SystemPackage

/// What the machine that a disk is served on does with it. It gives memory back through such a server, which
/// must then not have to wait for memory, nor be chosen to be killed for want of it.
package enum Protection: Sendable, Equatable {
    /// Nothing that would need the server to have memory.
    case none
    /// It writes files back to it.
    case writeBack
    /// It swaps to it.
    case swap

    /// Takes every precaution that is allowed before there is a disk: for the calling thread and those it
    /// makes, the process's memory, and the whole process.
    package func begin(logger: Logger) {
        guard self != .none else { return }
        attempt("the process may be killed for want of memory", logger) { () throws(Errno) in
            try MemoryPressure.disableOOMKill()
        }
        attempt("the process is no I/O flusher", logger) { () throws(Errno) in
            try MemoryPressure.setIOFlusher()
        }
        attempt("the process's memory is not locked", logger) { () throws(Errno) in
            try MemoryPressure.lockProcess()
        }
        guard self == .swap else { return }
        attempt("the server has no reserve of memory", logger) { () throws(Errno) in
            try MemoryPressure.enterRealTimeClass()
            try MemoryPressure.leaveRealTimeClass()
        }
        attempt("vm.watermark_boost_factor may not be 0", logger) { () throws(Errno) in
            _ = try Directory.make(Self.directory, mode: 0o755)
            let boost = try WatermarkBoost(sharedFile: "\(Self.directory)/watermark-boost")
            Self.boost.withLock { $0 = boost }
        }
    }

    /// Puts back what has been changed for the whole machine, when no other process wants it. To be called when the
    /// process ends.
    package static func end() {
        boost.withLock { boost in
            boost?.end()
            boost = nil
        }
    }

    private static let boost = Mutex<WatermarkBoost?>(nil)
    /// Where the machine's processes agree on its settings, whatever directory their sockets are in.
    private static let directory = "/run/ramdisk-nbd-machine"

    /// To be called when the disks are there, and before they are served. Not sooner: all of a sparse one
    /// would be taken at once, and another in small pages.
    package func disksAreThere(logger: Logger) {
        guard self != .none else { return }
        attempt("the server's buffers are not locked", logger) { () throws(Errno) in
            try MemoryPressure.lockFutureMappings()
        }
    }

    /// The same for the engine.
    package func apply(to options: inout ServerOptions) {
        options.usesMemoryReserve = self == .swap
    }

    /// What was asked for and cannot be had has to be known; what is done by default need not.
    private func attempt(
        _ consequence: Logger.Message, _ logger: Logger, _ step: () throws(Errno) -> Void
    ) {
        do throws(Errno) {
            try step()
        } catch {
            logger.log(
                level: self == .swap ? .warning : .debug, consequence,
                metadata: ["error": "\(error)"])
        }
    }
}
