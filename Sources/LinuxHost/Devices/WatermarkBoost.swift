internal import CLinux
internal import Glibc
internal import LinuxIO
internal import Synchronization
package import SystemPackage

/// Disables watermark boosting for the whole machine. With it, the kernel raises its reserve for a while after
/// it has run out of large pages; reclaim could then block on a server that waits for reclaim.
/// `vm.watermark_boost_factor` (Linux 5.0)
///
/// All processes that need this hold a shared lock on one file, which contains the value from before the first of
/// them. The last one that ends normally restores that value. A killed process loses its lock, so the next one
/// to end restores it.
package final class WatermarkBoost: Sendable {
    private let path: String
    private let setting: String
    private let file: Mutex<Descriptor?>

    /// Sets the factor to 0, if it is not.
    ///
    /// - Parameter path: the file that all these processes share; its directory exists.
    /// - Throws: the error of the file or of the setting; then nothing has changed.
    package convenience init(sharedFile path: String) throws(Errno) {
        try self.init(sharedFile: path, setting: "/proc/sys/vm/watermark_boost_factor")
    }

    init(sharedFile path: String, setting: String) throws(Errno) {
        self.path = path
        self.setting = setting
        while true {
            let file = try Descriptor(
                opening: path, .readWrite, options: [.create, .noFollow],
                permissions: .ownerReadWrite)
            // Waits for a process that is restoring the value, which also removes the file.
            try checkedErrno(flock(file.rawValue, LOCK_SH))
            guard let identity = FileIdentity(descriptor: file.rawValue),
                FileIdentity(path: path) == identity
            else { continue }
            let factor = MemoryPressure.integer(in: setting) ?? 0
            if factor != 0 {
                try TextFile.write("\(factor)\n", to: file)
                try MemoryPressure.write("0", to: setting)
            }
            self.file = Mutex(consume file)
            return
        }
    }

    /// Restores the former value, unless another process still needs 0. Further calls do nothing.
    package func end() {
        file.withLock { file in
            defer { file = nil }
            guard let descriptor = file?.rawValue, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                return
            }
            if let factor = MemoryPressure.integer(in: path), factor != 0 {
                try? MemoryPressure.write("\(factor)", to: setting)
            }
            unsafe unlink(path)
        }
    }
}
