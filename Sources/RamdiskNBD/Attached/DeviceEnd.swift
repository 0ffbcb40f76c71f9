// Taking a device away from the kernel without losing what it still has to write.

internal import LinuxIO
internal import NBDKernel
internal import SystemPackage

/// The end of an attached device.
enum DeviceEnd {
    /// Milliseconds for the kernel to let go of a device.
    private static let patience = 10_000

    /// Has everything written that the kernel keeps for the device; refuses when it is mounted, or
    /// used in a way that the kernel knows of.
    static func settle(_ device: NBDDevice) throws(Failure) {
        do throws(Errno) {
            try BlockDevice(path: device.path, exclusive: true).flush()
        } catch .resourceBusy {
            let points = Mount.all(of: device.path).map(\.point)
            let place = points.isEmpty ? "" : " (mounted at \(points.joined(separator: ", ")))"
            throw .unavailable(
                "\(device) is in use\(place), so it stays up: unmount it, or end what uses it, "
                    + "then try again")
        } catch .noSuchFileOrDirectory {
            // There is no node for it here, as in some containers: then nobody uses it by that.
        } catch {
            throw .system("cannot write out what is kept for \(device): \(error)")
        }
    }

    /// Unmounts what can be neither read nor written any more, at once or when nobody uses it.
    static func abandon(_ device: NBDDevice, mountPoint: String) {
        guard Mount.all(of: device.path).contains(where: { $0.point == mountPoint }) else { return }
        do throws(Errno) {
            try Mount.unmount(mountPoint)
        } catch {
            try? Mount.unmount(mountPoint, lazily: true)
        }
    }

    /// Takes the sockets away, and waits until the kernel is done with them.
    static func disconnect(
        _ device: NBDDevice, _ driver: inout NBDDriver
    ) throws(Failure) {
        do throws(Errno) {
            try driver.disconnect(device)
        } catch {
            throw .detaching(device, error)
        }
        let deadline = MonotonicTime.now().adding(milliseconds: patience)
        // The kernel is done when it answers, unless somebody still has the device open.
        while device.isConnected {
            guard .now() < deadline else {
                throw .unavailable(
                    "\(device) is detached, but something still has it open: close that")
            }
            MonotonicTime.now().adding(milliseconds: 5).sleep()
        }
    }
}

extension Failure {
    /// The kernel does not attach a device.
    static func attaching(_ device: NBDDevice?, _ error: Errno) -> Failure {
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
    static func detaching(_ device: NBDDevice, _ error: Errno) -> Failure {
        switch error {
        case .notPermitted, .permissionDenied: .driver(.notPermitted)
        default: .unavailable("the kernel does not detach \(device): \(error)")
        }
    }

    /// The driver cannot be used.
    static func driver(_ error: NBDDriverError) -> Failure {
        switch error {
        case .missing: .unavailable("\(error)")
        case .notPermitted: .notPermitted("\(error)")
        case .failed: .system("\(error)")
        }
    }
}

/// The kernel's driver, loaded if it has to be.
func openDriver() throws(Failure) -> NBDDriver {
    do throws(NBDDriverError) {
        return try NBDDriver.open()
    } catch {
        throw .driver(error)
    }
}
