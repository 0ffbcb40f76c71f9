internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import SystemPackage

/// The connections between a device and its backend: as many as it has queues.
///
/// A dead one is replaced in three steps, none of which may be left out. It is cut on our side too;
/// then it is waited until the server is done with it, because what it has already received could
/// otherwise be written after what the kernel sends again; and then the kernel gets a new one. The
/// kernel does not say whether it took it, and takes none before it has noticed the death itself, but
/// marks what it takes (see ``NBDKernel/NBDConnection/isAdopted``).
final class DeviceConnections {
    private struct Slot {
        enum State {
            /// The kernel uses it.
            case live
            /// Dead since then; the server may not be done with it.
            case dead(since: MonotonicTime)
            /// New, and offered to the kernel.
            case offered
        }

        var link: ServerConnection
        var state: State
    }

    /// Milliseconds after which the kernel is offered a connection again.
    private static var offerInterval: Int { 20 }
    /// Milliseconds after which a server that is not done with a dead connection is taken to hang.
    private static var endPatience: Int { 10_000 }

    let device: NBDDevice
    /// What the device is given again with each new connection.
    var options: NBDDeviceOptions
    /// How many connections have been replaced so far.
    private(set) var replacedCount = 0
    /// Why there is no new connection, as it was logged last.
    private var toldReason = ""
    private let logger: Logger
    private var slots: [Slot]

    /// What a device has been attached with, or, if `isOffered`, is to be attached again with.
    init(
        _ device: NBDDevice, _ links: [ServerConnection], _ options: NBDDeviceOptions,
        isOffered: Bool, logger: Logger
    ) {
        self.device = device
        self.options = options
        self.logger = logger
        slots = links.map { Slot(link: $0, state: isOffered ? .offered : .live) }
    }

    /// Hang-ups of the connections that are in use.
    var items: [PollSource] {
        slots.compactMap { slot in
            if case .live = slot.state { .hangUp(slot.link.connection.handle) } else { nil }
        }
    }

    /// Milliseconds after which ``attend(_:)`` has something to do in any case; nil: nothing.
    var patience: Int? {
        slots.contains { if case .live = $0.state { false } else { true } }
            ? Self.offerInterval : nil
    }

    /// How many connections the kernel uses.
    var liveCount: Int {
        slots.count { if case .live = $0.state { true } else { false } }
    }

    /// Whether the kernel uses all of them.
    var areAllLive: Bool { liveCount == slots.count }

    /// Gives up a send on a connection that the kernel uses after as long as a request may take; 0 never does. The
    /// kernel sets that when it takes a socket, and not when the device's timeout changes later.
    func setSendTimeouts(seconds: UInt64) {
        for slot in slots {
            guard case .live = slot.state else { continue }
            slot.link.connection.handle.setSendTimeout(milliseconds: Int(seconds) * 1000)
        }
    }

    /// Takes the connections out that the kernel has no use for.
    func dropOffered() {
        for slot in slots {
            if case .offered = slot.state { slot.link.connection.cut() }
        }
        slots.removeAll { if case .offered = $0.state { true } else { false } }
    }

    /// Does what can be done about connections that are dead.
    func attend(_ backend: any DiskServer, _ driver: inout NBDDriver) throws(Errno) {
        bury()
        for index in slots.indices {
            guard case .dead(let since) = slots[index].state else { continue }
            if backend.hasEnded(slots[index].link) {
                replace(index, backend)
            } else if since.adding(milliseconds: Self.endPatience) < .now() {
                backend.endByForce()
                slots[index].state = .dead(since: .now())
            }
        }
        try offer(&driver)
    }

    /// Finds those that have died, and cuts them.
    private func bury() {
        let items = slots.map { PollSource.hangUp($0.link.connection.handle) }
        let marks = (try? PollSource.poll(items, milliseconds: 0)) ?? []
        for (index, isHungUp) in marks.enumerated() where isHungUp {
            if case .dead = slots[index].state { continue }
            slots[index].link.connection.cut()
            slots[index].state = .dead(since: .now())
        }
    }

    /// Failure is no matter: it is tried again, and why it failed shows at the backend.
    private func replace(_ index: Int, _ backend: any DiskServer) {
        do throws(Failure) {
            slots[index] = Slot(link: try backend.connect(), state: .offered)
            toldReason = ""
        } catch {
            guard error.sentence != toldReason else { return }
            logger.warning("no new connection yet, which is tried on: \(error.sentence)")
            toldReason = error.sentence
        }
    }

    private func offer(_ driver: inout NBDDriver) throws(Errno) {
        let offered = slots.indices.filter {
            if case .offered = slots[$0].state { true } else { false }
        }
        guard !offered.isEmpty else { return }
        try driver.reconfigure(
            device, offered.map { slots[$0].link.connection }, options)
        for index in offered where slots[index].link.connection.isAdopted {
            slots[index].state = .live
            replacedCount += 1
            logger.notice(
                "a connection of the device has been replaced",
                metadata: ["device": "\(device)"])
        }
    }
}
