internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import ProgramSupport
internal import SystemPackage

/// The file system of a kernel disk for the instant of a save.
enum FrozenFileSystem {
    /// Freezes the file system that is mounted at a directory, if it is on an nbd device, and returns a function that
    /// thaws it. A file system that cannot be frozen is synchronized only: the save then holds what a power cut would
    /// leave, which the file system repairs when it is mounted.
    static func freeze(at point: String) throws(Failure) -> @Sendable () -> Void {
        guard isOnDevice(point) else { return {} }
        do throws(Errno) {
            let freeze = try FileSystemFreeze(at: point)
            return { try? freeze.end() }
        } catch .notSupported, .resourceBusy, .readOnlyFileSystem {
            return {}
        } catch {
            throw .system("cannot freeze the file system at \(point) to save it: \(error)")
        }
    }

    private static func isOnDevice(_ point: String) -> Bool {
        Mount.all.last { $0.point == point }?.source.hasPrefix("/dev/nbd") == true
    }

    /// Thaws the file system that is mounted at a directory, if it is on an nbd device and frozen.
    static func thaw(at point: String) {
        if isOnDevice(point) { try? FileSystemFreeze.thaw(at: point) }
    }

    /// Thaws a device's file systems. The kernel does not thaw a file system when the process that froze it dies. After
    /// a server is killed during a save, writers would wait forever.
    static func thaw(on device: NBDDevice) {
        // Almost always it is not frozen, which is an error.
        for mount in Mount.all(of: device.path) { try? FileSystemFreeze.thaw(at: mount.point) }
    }
}
