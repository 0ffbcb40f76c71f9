package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
package import Logging
package import NBDKernel
internal import Synchronization
package import SystemPackage

/// Taking a device away from the kernel: all of it, or nothing.
package enum DeviceTeardown {
    /// Milliseconds for processes that look at a device after it was unmounted, as udev and udisks do.
    private static let quietPatience = 3_000
    /// Milliseconds for another claim to go, such as that of a second `down`.
    private static let claimPatience = 2_000
    /// Milliseconds between two looks.
    private static let interval = 50

    /// A device that nobody can mount or claim as long as this lives.
    package final class Claim: Sendable {
        /// Nil when there is no node for the device here, as in some containers.
        private let device: Mutex<BlockDevice?>
        /// What was unmounted.
        fileprivate let mount: Mount?

        fileprivate init(_ device: BlockDevice?, mount: Mount?) {
            self.device = Mutex(device)
            self.mount = mount
        }

        /// Gives the device free.
        package func end() { device.withLock { $0 = nil } }
    }

    // MARK: - Asking first

    /// Throws a sentence when anything uses the device, other than its mount at `point` in the mount
    /// namespace of this process or of the process `owner`. Changes nothing.
    package static func requireUnused(
        _ device: NBDDevice, except point: String?, owner: Int32? = nil
    ) throws(Failure) {
        let here: [Mount]
        let elsewhere: [BlockDeviceUse.MountElsewhere]
        do throws(Errno) {
            let own = try Mount.table().filter { $0.source == device.path }
            here = own.filter { $0.point != point }
            let space = owner.flatMap(BlockDeviceUse.mountNamespace)
            let all = try BlockDeviceUse.mountsElsewhere(of: device.path)
            let others = all.filter { $0.namespace != space || $0.mount.point != point }
            let leaders = (own + all.filter { $0.namespace == space }.map(\.mount)).filter {
                $0.point == point
            }
            let staying = Mount.staying(of: others.map(\.mount), without: leaders)
            elsewhere = others.filter { staying.contains($0.mount) }
        } catch {
            throw .system("cannot find out what uses \(device), so it stays up: \(error)")
        }
        if !here.isEmpty {
            throw inUse(device, "it is mounted at \(here.map(\.point).joined(separator: ", "))")
        }
        if let other = elsewhere.first {
            throw inUse(
                device,
                "\(other.user) sees it mounted at \(other.mount.point) in another mount namespace")
        }
        if BlockDeviceUse.isSwap(device.path) {
            throw inUse(device, "the machine swaps to it (swapoff \(device) ends that)")
        }
        let holders = BlockDeviceUse.holders(of: device.name)
        if !holders.isEmpty {
            throw inUse(device, "it is a part of \(holders.joined(separator: ", "))")
        }
    }

    private static func inUse(_ device: NBDDevice, _ reason: String) -> Failure {
        .unavailable(
            "\(device) is in use, so it stays up: \(reason); end that, then try again")
    }

    // MARK: - Unmounting and claiming

    /// Unmounts the device, waits for processes that only look at it, has the kernel write what it keeps for it,
    /// and claims it. When a step is refused, those before it are undone.
    package static func release(
        _ device: NBDDevice, mountedAt point: String?, _ logger: Logger
    ) throws(Failure) -> Claim {
        try requireUnused(device, except: point)
        let mount = try unmount(device, from: point)
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

    /// Mounts again what was unmounted, after a later step has failed.
    package static func restore(_ claim: Claim, _ logger: Logger) {
        // mount(8) needs the device for itself.
        claim.end()
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
        _ device: NBDDevice, from point: String?
    ) throws(Failure) -> Mount? {
        guard let point else { return nil }
        return try FileSystemConfiguration.unmount(device.path, from: point)
    }

    /// udev and udisks look at a device when it has been unmounted. What they read after it was detached would
    /// be errors in the kernel's log.
    private static func awaitQuiet(_ device: NBDDevice) {
        let calm =
            Directory.exists("/run/udisks2") ? 500 : Directory.exists("/run/udev") ? 100 : 0
        let deadline = MonotonicTime.now().adding(milliseconds: quietPatience)
        var calmAt = MonotonicTime.now().adding(milliseconds: calm)
        while .now() < deadline, .now() < calmAt {
            Thread.sleep(milliseconds: interval)
            if !BlockDeviceUse.openers(of: device.path).isEmpty {
                calmAt = MonotonicTime.now().adding(milliseconds: calm)
            }
        }
    }

    private static func claim(_ device: NBDDevice) throws(Failure) -> BlockDevice? {
        let deadline = MonotonicTime.now().adding(milliseconds: claimPatience)
        while true {
            do throws(Errno) {
                return try BlockDevice(path: device.path, exclusive: true)
            } catch .resourceBusy {
                guard .now() < deadline else {
                    try requireUnused(device, except: nil)
                    throw inUse(device, "another process has claimed it")
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
                "\(device) has data that its server does not take (\(error)): bring the server back, or lose "
                    + "the data with --force")
        }
        do throws(Errno) {
            try claim?.flush()
        } catch {
            // A server that is gone has nothing to flush, and there is no page left to write. One that answers
            // reads is there, and has refused.
            guard (try? BlockDevice.readPage(of: device.path, at: 0)) == nil else {
                throw .system("cannot write out what is kept for \(device): \(error)")
            }
        }
    }

    /// Claims a device whose server may be gone. Without force, what the kernel still has to write must be
    /// written; a server that is gone has nothing to flush.
    package static func claimAfterServer(
        _ device: NBDDevice, isForced: Bool
    ) throws(Failure) -> Claim {
        if isForced {
            return Claim(try? BlockDevice(path: device.path, exclusive: true), mount: nil)
        }
        try requireUnused(device, except: nil)
        awaitQuiet(device)
        let claimed = try claim(device)
        try writeOut(device, claimed)
        return Claim(claimed, mount: nil)
    }

    // MARK: - Detaching

    /// Takes the sockets away. What was in flight fails. The kernel forgets the device's configuration when
    /// nothing has it open any more.
    package static func disconnect(
        _ device: NBDDevice, _ driver: inout NBDDriver
    ) throws(Failure) {
        do throws(Errno) {
            try driver.disconnect(device)
        } catch {
            throw .detaching(device, error)
        }
    }

    /// Waits for the kernel to forget a device that has been disconnected, and returns whether it has in time.
    package static func awaitEnd(of device: NBDDevice, milliseconds: Int) -> Bool {
        let deadline = MonotonicTime.now().adding(milliseconds: milliseconds)
        while (try? device.isConnected()) != false {
            guard .now() < deadline else { return false }
            Thread.sleep(milliseconds: 5)
        }
        return true
    }

    /// What keeps a disconnected device: a clause for people.
    package static func reason(whyHeld device: NBDDevice) -> String {
        let users = BlockDeviceUse.openers(of: device.path)
        return users.isEmpty
            ? "until nothing has it open"
            : "until \(users.map(\.description).joined(separator: ", ")) has closed it"
    }

    /// Unmounts what can be neither read nor written any more, at once or when nobody uses it.
    package static func abandon(_ device: NBDDevice, mountPoint: String) {
        guard Mount.all(of: device.path).contains(where: { $0.point == mountPoint }) else { return }
        do throws(Errno) {
            try Mount.unmount(mountPoint)
        } catch {
            try? Mount.unmount(mountPoint, lazily: true)
        }
    }
}

extension Failure {
    /// The kernel does not attach a device.
    package static func attaching(_ device: NBDDevice?, _ error: Errno) -> Failure {
        let name = device?.path ?? "a device"
        return switch error {
        case .notPermitted, .permissionDenied: .driver(.notPermitted)
        case .resourceBusy:
            .unavailable(
                "\(name) is in use: choose another with --device, or leave that out for the first "
                    + "free one")
        default: .unavailable("the kernel does not attach \(name): \(error)")
        }
    }

    /// The kernel does not take a device away.
    package static func detaching(_ device: NBDDevice, _ error: Errno) -> Failure {
        switch error {
        case .notPermitted, .permissionDenied: .driver(.notPermitted)
        default: .unavailable("the kernel does not detach \(device): \(error)")
        }
    }

    /// The driver cannot be used.
    package static func driver(_ error: NBDDriverError) -> Failure {
        switch error {
        case .missing: .unavailable("\(error)")
        case .notPermitted: .notPermitted("\(error)")
        case .failed: .system("\(error)")
        }
    }
}

/// The kernel's driver, loaded if it has to be.
package func openDriver() throws(Failure) -> NBDDriver {
    do throws(NBDDriverError) {
        return try NBDDriver.open()
    } catch {
        throw .driver(error)
    }
}
