internal import LinuxHost
internal import LinuxIO
package import Logging
internal import NBDServer
internal import Synchronization
internal import SystemPackage

/// The use of a disk by the machine that serves it. When the machine frees memory by writing to the disk, the server
/// must neither wait for memory nor be killed by the OOM killer.
package enum Protection: Sendable, Equatable {
    /// The machine does not write to the disk to free memory.
    case none
    /// The machine writes dirty pages of files back to the disk.
    case writeBack
    /// The machine swaps to the disk.
    case swap

    /// Takes every permitted measure that must come before the disk: for the calling thread and the threads that it
    /// creates, for the process's memory, and for the process.
    package func begin(logger: Logger) {
        guard self != .none else { return }
        attempt("the OOM killer may kill this process", logger) { () throws(Errno) in
            try MemoryPressure.disableOOMKill()
        }
        attempt("the process cannot be marked as an I/O flusher (prctl PR_SET_IO_FLUSHER)", logger)
        { () throws(Errno) in
            try MemoryPressure.setIOFlusher()
        }
        attempt("the process's memory is not locked", logger) { () throws(Errno) in
            try MemoryPressure.lockProcess()
        }
        guard self == .swap else { return }
        attempt("the server cannot use the kernel's memory reserve", logger) { () throws(Errno) in
            try MemoryPressure.enterRealTimeClass()
            try MemoryPressure.leaveRealTimeClass()
        }
        attempt("cannot set vm.watermark_boost_factor to 0", logger) { () throws(Errno) in
            _ = try Directory.make(Self.directory, mode: 0o755)
            let boost = try WatermarkBoost(sharedFile: "\(Self.directory)/watermark-boost")
            Self.boost.withLock { $0 = boost }
        }
    }

    /// Restores the settings of the machine unless another process still needs them. Call it when the process ends.
    package static func end() {
        boost.withLock { boost in
            boost?.end()
            boost = nil
        }
    }

    private static let boost = Mutex<WatermarkBoost?>(nil)
    /// The directory in which all processes of the machine coordinate its settings, whatever their runtime directories.
    static let directory = "/run/ramdisk-nbd-machine"
    /// The setting that a server of swap changes, and restores when it ends.
    static let setting = "/proc/sys/vm/watermark_boost_factor"

    /// Locks future memory. Call it after the disks are made and before they are served. Before that, it would
    /// allocate all of a sparse disk at once, and the memory of others in small pages.
    package func disksAreThere(logger: Logger) {
        guard self != .none else { return }
        attempt("the server's buffers are not locked", logger) { () throws(Errno) in
            try MemoryPressure.lockFutureMappings()
        }
    }

    /// Sets the engine's options.
    func apply(to options: inout ServerOptions) {
        options.usesMemoryReserve = self == .swap
    }

    /// Tries a measure. A failure is a warning where the user asked for the measure, and a debug line otherwise.
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
