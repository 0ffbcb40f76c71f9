package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import Synchronization
internal import SystemPackage

/// The steps that take a device away from the kernel. When a step fails, the steps before it are undone.
package enum DeviceTeardown {
    /// Milliseconds to wait for processes that open a device after it is unmounted, as udev and udisks do.
    private static let quietTimeLimit = 3_000
    /// Milliseconds to wait until another process releases its claim, such as a second `down`.
    private static let claimTimeLimit = 2_000
    /// Milliseconds to wait for a save to thaw the file system. Freezing it writes its dirty pages.
    private static let freezeTimeLimit = 3_000
    /// Milliseconds between two checks.
    private static let interval = 50

    /// An exclusive open of a device. No other process can mount or claim the device until it is released.
    final class Claim: Sendable {
        /// Nil when the device has no node here, as in some containers.
        private let device: Mutex<BlockDevice?>
        /// The mount that was removed; nil when there was none.
        fileprivate let mount: Mount?

        fileprivate init(_ device: BlockDevice?, mount: Mount?) {
            self.device = Mutex(device)
            self.mount = mount
        }

        /// Releases the device.
        func release() { device.withLock { $0 = nil } }
    }

    // MARK: - Asking first

    /// Throws when anything uses the device, other than its mount at `point` in the mount namespace of this
    /// process or of the process `supervisor`. Changes nothing.
    ///
    /// - Parameter device: the path of a block device.
    /// - Throws: a ``Failure`` that names the user of the device, or why the users could not be determined.
    package static func requireUnused(
        _ device: String, except point: String?, supervisor: Int32? = nil
    ) throws(Failure) {
        let here: [Mount]
        let elsewhere: [BlockDeviceUse.MountElsewhere]
        do throws(Errno) {
            let own = try Mount.table().filter { $0.source == device }
            here = own.filter { $0.point != point }
            let namespace = supervisor.flatMap(BlockDeviceUse.mountNamespace)
            let all = try BlockDeviceUse.mountsElsewhere(of: device)
            let others = all.filter { $0.namespace != namespace || $0.mount.point != point }
            let expected = (own + all.filter { $0.namespace == namespace }.map(\.mount)).filter {
                $0.point == point
            }
            let staying = Mount.staying(of: others.map(\.mount), without: expected)
            elsewhere = others.filter { staying.contains($0.mount) }
        } catch {
            throw .system("cannot determine what uses \(device), so it stays up: \(error)")
        }
        if !here.isEmpty {
            throw inUse(device, "it is mounted at \(here.map(\.point).joined(separator: ", "))")
        }
        if let other = elsewhere.first {
            throw inUse(
                device,
                "\(other.user) sees it mounted at \(other.mount.point) in another mount namespace")
        }
        if BlockDeviceUse.isSwap(device) {
            throw inUse(device, "it is in use as swap (`swapoff \(device)` ends that)")
        }
        let holders = BlockDeviceUse.holders(
            of: String(device.split(separator: "/").last ?? ""))
        if !holders.isEmpty {
            throw inUse(device, "it is part of \(holders.joined(separator: ", "))")
        }
    }

    private static func inUse(_ device: String, _ reason: String) -> Failure {
        .unavailable(
            "\(device) is in use, so it stays up: \(reason); stop that use, then try again")
    }

    // MARK: - Unmounting and claiming

    /// Unmounts the device, waits for processes that only inspect it, waits until the kernel has written its dirty
    /// pages, and claims the device. When a step fails, the steps before it are undone.
    ///
    /// - Parameter hasImage: whether the disk is saved to an image, which keeps its mount point in use for an instant.
    static func prepareToDetach(
        _ device: NBDDevice, mountedAt point: String?, hasImage: Bool, _ logger: Logger
    ) throws(Failure) -> Claim {
        try requireUnused(device.path, except: point)
        let mount = try unmount(device, from: point, patience: hasImage ? freezeTimeLimit : 0)
        do throws(Failure) {
            awaitQuiet(device)
            let claim = try claim(device)
            try writeOut(device, claim)
            return Claim(claim, mount: mount)
        } catch {
            restore(mount, logger)
            throw error
        }
    }

    /// Restores the mount after a later step has failed.
    static func restore(_ claim: Claim, _ logger: Logger) {
        // mount(8) cannot open the device while it is claimed.
        claim.release()
        restore(claim.mount, logger)
    }

    private static func restore(_ mount: Mount?, _ logger: Logger) {
        guard let mount else { return }
        do throws(Failure) {
            try FileSystemConfiguration.mountAgain(mount)
        } catch {
            logger.error("\(error.sentence)")
        }
    }

    private static func unmount(
        _ device: NBDDevice, from point: String?, patience milliseconds: Int
    ) throws(Failure) -> Mount? {
        guard let point else { return nil }
        let deadline = MonotonicTime.now().adding(milliseconds: milliseconds)
        while true {
            do throws(Failure) {
                return try FileSystemConfiguration.unmount(device.path, from: point)
            } catch {
                guard error.kind == .unavailable, .now() < deadline else { throw error }
                Thread.sleep(milliseconds: interval)
            }
        }
    }

    /// Waits until no process has the device open for a while. udev and udisks open a device after it is
    /// unmounted. If it were detached while they read it, the kernel would log I/O errors.
    private static func awaitQuiet(_ device: NBDDevice) {
        let quietInterval =
            Directory.exists("/run/udisks2") ? 500 : Directory.exists("/run/udev") ? 100 : 0
        let deadline = MonotonicTime.now().adding(milliseconds: quietTimeLimit)
        var quietUntil = MonotonicTime.now().adding(milliseconds: quietInterval)
        while .now() < deadline, .now() < quietUntil {
            Thread.sleep(milliseconds: interval)
            if !BlockDeviceUse.openers(of: device.path).isEmpty {
                quietUntil = MonotonicTime.now().adding(milliseconds: quietInterval)
            }
        }
    }

    private static func claim(_ device: NBDDevice) throws(Failure) -> BlockDevice? {
        let deadline = MonotonicTime.now().adding(milliseconds: claimTimeLimit)
        while true {
            do throws(Errno) {
                return try BlockDevice(path: device.path, exclusive: true)
            } catch .resourceBusy {
                guard .now() < deadline else {
                    try requireUnused(device.path, except: nil)
                    throw inUse(device.path, "another process has claimed it")
                }
                Thread.sleep(milliseconds: interval)
            } catch .noSuchFileOrDirectory {
                return nil
            } catch {
                throw .system("cannot open \(device), so it stays up: \(error)")
            }
        }
    }

    private static func writeOut(
        _ device: NBDDevice, _ claim: BlockDevice?
    ) throws(Failure) {
        do throws(Errno) {
            try claim?.writeDirtyPages()
        } catch {
            throw .unavailable(
                "the server of \(device) does not accept the data that is still to be written (\(error)): start the "
                    + "server again, or discard the data with --force")
        }
        do throws(Errno) {
            try claim?.flush()
        } catch {
            // When the server is dead, it has nothing to flush, and no dirty page is left. When the device can be read,
            // the server is there and has refused the flush.
            guard (try? BlockDevice.readPage(of: device.path, at: 0)) == nil else {
                throw .system("cannot flush \(device): \(error)")
            }
        }
    }

    /// Claims a device whose server may be dead. Unless `isForced` is set, the kernel's dirty pages must be written
    /// first. A dead server has nothing to flush.
    static func claimAfterServer(
        _ device: NBDDevice, isForced: Bool
    ) throws(Failure) -> Claim {
        if isForced {
            return Claim(try? BlockDevice(path: device.path, exclusive: true), mount: nil)
        }
        try requireUnused(device.path, except: nil)
        awaitQuiet(device)
        let claimed = try claim(device)
        try writeOut(device, claimed)
        return Claim(claimed, mount: nil)
    }

    // MARK: - Detaching

    /// Disconnects the device from its server. Requests in flight fail. The kernel forgets the device's
    /// configuration when no process has the device open any more.
    static func disconnect(
        _ device: NBDDevice, _ driver: inout NBDDriver
    ) throws(Failure) {
        do throws(Errno) {
            try driver.disconnect(device)
        } catch {
            throw .detaching(device, error)
        }
    }

    /// Waits until the kernel has forgotten a disconnected device. Returns false when it has not after
    /// `milliseconds`.
    static func awaitEnd(of device: NBDDevice, milliseconds: Int) -> Bool {
        let deadline = MonotonicTime.now().adding(milliseconds: milliseconds)
        while (try? device.isConnected()) != false {
            guard .now() < deadline else { return false }
            Thread.sleep(milliseconds: 5)
        }
        return true
    }

    /// Returns a clause that says what a disconnected device waits for: "until … has closed it".
    static func reason(whyHeld device: NBDDevice) -> String {
        let users = BlockDeviceUse.openers(of: device.path)
        return users.isEmpty
            ? "until nothing has it open"
            : "until \(users.map(\.description).joined(separator: ", ")) has closed it"
    }

    /// Unmounts a file system that can be neither read nor written any more. If it is busy, it is detached
    /// from the directory tree now and unmounted when no process uses it.
    static func abandon(_ device: NBDDevice, mountPoint: String) {
        guard Mount.all(of: device.path).contains(where: { $0.point == mountPoint }) else { return }
        FrozenFileSystem.thaw(on: device)
        do throws(Errno) {
            try Mount.unmount(mountPoint)
        } catch {
            try? Mount.unmount(mountPoint, lazily: true)
        }
    }
}

extension Failure {
    /// The kernel has refused to attach a device.
    static func attaching(_ device: NBDDevice?, _ error: Errno) -> Failure {
        let name = device?.path ?? "a device"
        return switch error {
        case .notPermitted, .permissionDenied: .driver(.notPermitted)
        case .resourceBusy:
            .unavailable(
                "\(name) is in use: choose another with --device, or omit --device to use the first "
                    + "free device")
        default: .unavailable("the kernel cannot attach \(name): \(error)")
        }
    }

    /// The kernel has refused to detach a device.
    static func detaching(_ device: NBDDevice, _ error: Errno) -> Failure {
        switch error {
        case .notPermitted, .permissionDenied: .driver(.notPermitted)
        default: .unavailable("the kernel cannot detach \(device): \(error)")
        }
    }

    /// The nbd driver cannot be used.
    static func driver(_ error: NBDDriverError) -> Failure {
        switch error {
        case .missing: .unavailable("\(error)")
        case .notPermitted: .notPermitted("\(error)")
        case .failed: .system("\(error)")
        }
    }
}

/// Opens the kernel's nbd driver, and loads its module if necessary.
func openDriver() throws(Failure) -> NBDDriver {
    do throws(NBDDriverError) {
        return try NBDDriver.open()
    } catch {
        throw .driver(error)
    }
}
