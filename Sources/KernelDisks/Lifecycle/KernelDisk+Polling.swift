internal import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import Synchronization
internal import SystemPackage

extension KernelDisk {
    /// Looks after the disk until it is asked to stop, or the device is lost.
    func pollUntilStop() {
        while !stop.takeStopRequest(), !isLost {
            wait(for: [stop.pollSource])
            stop.clear()
            pollOnce()
        }
    }

    /// Looks after the disk for `milliseconds`, or until it is asked to stop.
    func poll(milliseconds: Int) {
        let deadline = MonotonicTime.now().adding(milliseconds: milliseconds)
        while .now() < deadline {
            wait(for: [stop.pollSource], atMost: deadline.milliseconds(from: .now()))
            stop.clear()
            pollOnce()
            if stop.isStopRequested { return }
        }
    }

    /// Runs a function that may wait for the device on a second thread, while this thread continues to poll. If this
    /// thread waited for the device itself, no thread would replace a connection or a worker that the device needs, and
    /// both would wait forever.
    func runWhilePolling<Result: Sendable>(
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
                wait(for: [stop.pollSource])
                stop.clear()
                pollOnce()
            }
        } catch {
            throw .system("cannot start a thread: \(error)")
        }
        return try outcome.get()
    }

    /// Waits for an event or the next timeout. When the wait fails, as without memory, this thread sleeps
    /// briefly instead: the disk is still up and must be looked after.
    func wait(for more: [PollSource], atMost milliseconds: Int? = nil) {
        let pollSources = more + (server?.pollSources ?? []) + (connections?.pollSources ?? [])
        let timeout = [server?.pollTimeout, connections?.pollTimeout, milliseconds].compactMap {
            $0
        }.min()
        do throws(Errno) {
            _ = try PollSource.poll(pollSources, milliseconds: timeout)
        } catch {
            logger.debug("cannot wait for events: \(error)")
            Thread.sleep(milliseconds: 100)
        }
    }

    func pollOnce() {
        guard let server, !isLost else { return }
        if stop.takeStatisticsRequest() { server.logMemoryUse() }
        if server.poll() {
            record.worker = server.worker
            try? writeRecord()
        }
        if let connections { try? poll(connections) }
    }

    /// Polls the connections of the device.
    ///
    /// - Throws: when another program has detached the device.
    func poll(_ connections: DeviceConnections) throws(Failure) {
        guard let server else { return }
        do throws(Errno) {
            try connections.poll(server, &driver)
            // Without a connection to offer, no request is sent to the driver, so it cannot report that the
            // device is gone.
            if !connections.areAllLive, try connections.device.backend() != record.identifier {
                throw Errno.invalidArgument
            }
        } catch .invalidArgument {
            // The kernel has forgotten the device's configuration, or the device belongs to another server.
            markLost(connections.device)
            throw .unavailable("another program has detached \(connections.device)")
        } catch {
            logger.debug(
                "the kernel has not adopted a new connection yet", metadata: ["error": "\(error)"])
        }
    }

    /// Records that the device can no longer be served.
    func markLost(_ device: NBDDevice) {
        guard !isLost else { return }
        isLost = true
        logger.error(
            "another program has detached the device, or it had no server for too long",
            metadata: ["device": "\(device)"])
    }
}

/// The result of a function that runs on another thread. That thread sets it once; the polling thread reads
/// it.
private final class Outcome<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, Failure>?>(nil)

    var isOpen: Bool { result.withLock { $0 == nil } }
    func set(_ value: Result<Value, Failure>) { result.withLock { $0 = value } }

    func get() throws(Failure) -> Value {
        guard let value = result.withLock({ $0 }) else {
            throw .system("a thread ended without a result")
        }
        return try value.get()
    }
}
