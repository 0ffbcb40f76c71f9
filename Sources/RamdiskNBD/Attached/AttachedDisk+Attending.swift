// Looking after a disk that is up: its server, its connections, and the wish to stop.

internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import Synchronization
internal import SystemPackage

extension AttachedDisk {
    /// Looks after the disk until somebody wants it down, or has taken the device away.
    func attendUntilStop() throws(Failure) {
        while !stop.take() {
            try wait(for: [stop.item])
            stop.clear()
            try attendOnce()
        }
    }

    /// Runs a function that may wait for the device, on a thread of its own, and looks after the disk
    /// meanwhile: else nobody would give the device another server if it needs one.
    func whileAttending<Result: Sendable>(
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
                _ = try? wait(for: [stop.item])
                stop.clear()
                try? attendOnce()
            }
        } catch {
            throw .system("cannot start a thread: \(error)")
        }
        return try outcome.get()
    }

    /// Waits until there is something to look at.
    private func wait(for more: [WaitItem]) throws(Failure) {
        let items = more + (backend?.items ?? []) + (links?.items ?? [])
        let patience = [backend?.patience, links?.patience].compactMap { $0 }.min()
        do throws(Errno) {
            _ = try WaitItem.wait(for: items, milliseconds: patience)
        } catch {
            throw .system("cannot wait for the device's connections: \(error)")
        }
    }

    private func attendOnce() throws(Failure) {
        guard let backend else { return }
        if stop.takeFigures() { backend.logFigures() }
        if try backend.attend() {
            record.worker = backend.worker
            try? directory.write(record)
        }
        if let links { try attend(links) }
    }

    /// Looks after connections. A device that somebody else has detached is no more to be served.
    func attend(_ links: DeviceLinks) throws(Failure) {
        guard let backend else { return }
        do throws(Errno) {
            try links.attend(backend, &driver)
        } catch {
            guard links.device.isConnected else {
                logger.error(
                    "the device has been detached by somebody else, or was without a server for too long",
                    metadata: ["device": "\(links.device)"])
                return stop.request()
            }
            logger.warning(
                "the kernel takes no new connection yet", metadata: ["error": "\(error)"])
        }
    }
}

/// What a function on another thread came to.
private final class Outcome<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, Failure>?>(nil)

    var isOpen: Bool { result.withLock { $0 == nil } }
    func set(_ value: Result<Value, Failure>) { result.withLock { $0 = value } }

    func get() throws(Failure) -> Value {
        guard let value = result.withLock({ $0 }) else { throw .system("a thread has no result") }
        return try value.get()
    }
}
