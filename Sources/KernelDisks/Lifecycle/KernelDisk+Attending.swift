package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import Logging
package import NBDKernel
internal import Synchronization
internal import SystemPackage

extension KernelDisk {
    /// Looks after the disk until it is to be taken down, or the device is lost.
    package func pollUntilStop() {
        while !stop.take(), !isLost {
            wait(for: [stop.item])
            stop.clear()
            pollOnce()
        }
    }

    /// Looks after the disk for some time, or until there is a wish to stop.
    package func attend(milliseconds: Int) {
        let deadline = MonotonicTime.now().adding(milliseconds: milliseconds)
        while .now() < deadline {
            wait(for: [stop.item], atMost: deadline.milliseconds(from: .now()))
            stop.clear()
            pollOnce()
            if stop.isSet { return }
        }
    }

    /// Runs a function that may wait for the device, on a thread of its own, and looks after the disk
    /// meanwhile: else nobody would give the device another server if it needs one.
    package func runWhilePolling<Result: Sendable>(
        _ body: @escaping @Sendable () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let outcome = Outcome<Result>()
        let stop = stop
        do throws(Errno) {
            let thread = try Thread(name: "work") {
                do throws(Failure) {
                    outcome.set(.success(try body()))
                } catch {
                    outcome.set(.failure(error))
                }
                stop.nudge()
            }
            defer { thread.join() }
            while outcome.isOpen {
                wait(for: [stop.item])
                stop.clear()
                pollOnce()
            }
        } catch {
            throw .system("cannot start a thread: \(error)")
        }
        return try outcome.get()
    }

    /// Waits until there is something to look at. A wait that fails, for want of memory, is a short one: the disk
    /// is still there and has to be looked after.
    private func wait(for more: [PollSource], atMost milliseconds: Int? = nil) {
        let items = more + (backend?.items ?? []) + (links?.items ?? [])
        let patience = [backend?.patience, links?.patience, milliseconds].compactMap { $0 }.min()
        do throws(Errno) {
            _ = try PollSource.poll(items, milliseconds: patience)
        } catch {
            logger.debug("cannot wait: \(error)")
            Thread.sleep(milliseconds: 100)
        }
    }

    private func pollOnce() {
        guard let backend, !isLost else { return }
        if stop.takeFigures() { backend.logFigures() }
        if backend.attend() {
            record.worker = backend.worker
            try? writeRecord()
        }
        if let links { try? attend(links) }
    }

    /// Looks after connections.
    ///
    /// - Throws: when the device has been detached by another program.
    package func attend(_ links: DeviceConnections) throws(Failure) {
        guard let backend else { return }
        do throws(Errno) {
            try links.attend(backend, &driver)
            // Without a new connection to offer, the kernel is not asked, and says nothing.
            if !links.areAllLive, try links.device.backend() != record.identifier {
                throw Errno.invalidArgument
            }
        } catch .invalidArgument {
            // The kernel has no configuration for the device any more, or another one's.
            lose(links.device)
            throw .unavailable("\(links.device) has been detached by another program")
        } catch {
            logger.debug(
                "the kernel takes no new connection yet", metadata: ["error": "\(error)"])
        }
    }

    /// The device is no more to be served.
    package func lose(_ device: NBDDevice) {
        guard !isLost else { return }
        isLost = true
        logger.error(
            "the device has been detached by another program, or was without a server for too long",
            metadata: ["device": "\(device)"])
    }
}

/// What a function on another thread came to.
private final class Outcome<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, Failure>?>(nil)

    package var isOpen: Bool { result.withLock { $0 == nil } }
    package func set(_ value: Result<Value, Failure>) { result.withLock { $0 = value } }

    package func get() throws(Failure) -> Value {
        guard let value = result.withLock({ $0 }) else { throw .system("a thread has no result") }
        return try value.get()
    }
}
