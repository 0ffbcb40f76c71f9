internal import LinuxIO
internal import CLinux
internal import Glibc
internal import Synchronization
package import SystemPackage

/// Has the kernel never raise the amount of memory that it keeps back, as it does for a while when its large pages
/// run out: then a thread that frees memory could have to wait for a server that has to wait for memory.
/// `vm.watermark_boost_factor` (Linux 5.0)
///
/// The setting is the whole machine's. All processes that want it hold a shared lock on one file, which has the
/// value from before the first of them; the last one that ends in order puts that value back. A process that is
/// killed loses its lock, so the next one to end puts it back.
package final class WatermarkBoost: Sendable {
    private let path: String
    private let setting: String
    private let file: Mutex<Descriptor?>

    /// Sets it to 0, if it is not.
    ///
    /// - Parameter path: the file that all of them share; its directory is there.
    /// - Throws: what the file or the setting cannot be used for; nothing has been changed then.
    package convenience init(sharedFile path: String) throws(Errno) {
        try self.init(sharedFile: path, setting: "/proc/sys/vm/watermark_boost_factor")
    }

    init(sharedFile path: String, setting: String) throws(Errno) {
        self.path = path
        self.setting = setting
        while true {
            let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW
            let file = Descriptor(adopting: try checkedErrno(unsafe open(path, flags, 0o600)))
            // Waits for a process that puts the value back at this moment, which removes the file.
            try checkedErrno(flock(file.rawValue, LOCK_SH))
            guard let identity = FileIdentity(file), FileIdentity(path: path) == identity else {
                continue
            }
            let factor = MemoryPressure.integer(in: setting) ?? 0
            if factor != 0 {
                try TextFile.write("\(factor)\n", to: file)
                try MemoryPressure.write("0", to: setting)
            }
            self.file = Mutex(consume file)
            return
        }
    }

    /// Puts the former value back, if no other process wants 0. More calls do nothing.
    package func end() {
        file.withLock { file in
            defer { file = nil }
            guard let number = file?.rawValue, flock(number, LOCK_EX | LOCK_NB) == 0 else { return }
            if let factor = MemoryPressure.integer(in: path), factor != 0 {
                try? MemoryPressure.write("\(factor)", to: setting)
            }
            unsafe unlink(path)
        }
    }
}
