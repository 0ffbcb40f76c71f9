internal import ProgramSupport
internal import LinuxHost
package import LinuxIO
package import Logging
package import NBDKernel
package import SystemPackage

/// The connections between a device and its backend: as many as it has queues.
///
/// A dead one is replaced in three steps, none of which may be left out. It is cut on our side too;
/// then it is waited until the server is done with it, because what it has already received could
/// otherwise be written after what the kernel sends again; and then the kernel gets a new one. The
/// kernel does not say whether it took it, and takes none before it has noticed the death itself, but
/// marks what it takes (see ``NBDKernel/NBDConnection/isAdopted``).
///
/// Where there are several, the kernel has to show that it reads those it has taken (see ``ConnectionProof``). If it
/// does not read one, others end so that it can (see ``ConnectionRotation``), and are replaced.
package final class DeviceConnections {
    private struct Slot {
        package enum State {
            /// The kernel uses it.
            case live
            /// It sends no more requests since then, and the kernel reads the replies that are left.
            case ending(since: MonotonicTime)
            /// Dead since then; the server may not be done with it.
            case dead(since: MonotonicTime)
            /// New, and offered to the kernel.
            case offered
        }

        package var link: ServerConnection
        package var state: State
        /// In which order the kernel has taken it.
        package var number = 0

        package var isOffered: Bool { if case .offered = state { true } else { false } }
    }

    /// Milliseconds after which the kernel is offered a connection again.
    private static var offerInterval: Int { 20 }
    /// Milliseconds after which a server that is not done with a dead connection is taken to hang.
    private static var endPatience: Int { 10_000 }
    /// Milliseconds after which a server that does not close a connection without requests is not waited for.
    private static var closingPatience: Int { 500 }
    /// Milliseconds after which replies on a dead connection are taken to stay unread.
    private static var readPatience: Int { 1_000 }

    package let device: NBDDevice
    /// What the device is to be like when all its connections are proved.
    package var options: NBDDeviceOptions
    /// Whether new connections are made though there are live ones.
    package var isOffering = true
    /// Whether the kernel has taken connections since the last proof began.
    private var isProofDue: Bool
    private var proof: ConnectionProof?
    /// Whether the device has the timeouts that it has while it is proved.
    private var areTimeoutsShort: Bool
    private var rotation = ConnectionRotation()
    /// How many rotations there have been since all connections were read.
    private var rotationCount = 0
    /// No connection is offered until then.
    private var pauseEnd = MonotonicTime.now()
    private var takenCount: Int
    /// Why there is no new connection, as it was logged last.
    private var toldReason = ""
    private let logger: Logger
    private var slots: [Slot]

    /// What a device has been attached with, or, if `isOffered`, is to be attached again with.
    package init(
        _ device: NBDDevice, _ links: [ServerConnection], _ options: NBDDeviceOptions,
        isOffered: Bool, logger: Logger
    ) {
        self.device = device
        self.options = options
        self.logger = logger
        slots = links.enumerated().map {
            Slot(link: $1, state: isOffered ? .offered : .live, number: $0)
        }
        takenCount = links.count
        isProofDue = !isOffered
        areTimeoutsShort = !isOffered && links.count > 1
    }

    /// Hang-ups of the connections that are in use.
    package var items: [PollSource] {
        slots.compactMap { slot in
            switch slot.state {
            case .live, .ending: .hangUp(slot.link.connection.handle)
            case .dead, .offered: nil
            }
        }
    }

    /// Milliseconds after which ``attend(_:)`` has something to do in any case; nil: nothing.
    package var patience: Int? {
        if isBeingProved { return ConnectionProof.interval }
        return areAllLive ? nil : Self.offerInterval
    }

    /// How many connections the kernel uses.
    package var liveCount: Int {
        slots.count { if case .live = $0.state { true } else { false } }
    }

    /// Whether the kernel uses all of them.
    package var areAllLive: Bool { liveCount == slots.count }

    /// Whether the kernel has yet to show that it reads those that it uses.
    package var isBeingProved: Bool {
        proof != nil || (isProofDue && slots.count > 1 && liveCount > 0)
    }

    /// Gives up a send on a connection that the kernel uses after as long as a request may take; 0 never does. The
    /// kernel sets that when it takes a socket, and not when the device's timeout changes later.
    package func setSendTimeouts(seconds: UInt64) {
        for slot in slots {
            guard case .live = slot.state else { continue }
            slot.link.connection.handle.setSendTimeout(milliseconds: Int(seconds) * 1000)
        }
    }

    /// Takes the connections out that the kernel has no use for.
    package func dropOffered() {
        for slot in slots where slot.isOffered { slot.link.connection.cut() }
        slots.removeAll(where: \.isOffered)
    }

    /// Does what can be done about connections that are dead.
    package func attend(_ backend: any DiskServer, _ driver: inout NBDDriver) throws(Errno) {
        bury()
        let isWanted = mayOffer
        for index in slots.indices {
            guard case .dead(let since) = slots[index].state else { continue }
            if backend.hasEnded(slots[index].link) {
                if isWanted { replace(index, backend) }
            } else if since.adding(milliseconds: Self.endPatience) < .now() {
                backend.endByForce()
                slots[index].state = .dead(since: .now())
            }
        }
        if isWanted { try offer(&driver) }
        prove()
        if !isBeingProved, !slots.contains(where: \.isOffered) { try restoreTimeouts(&driver) }
    }

    /// Gives the device the timeouts that are wanted, if it has others to be proved.
    package func restoreTimeouts(_ driver: inout NBDDriver) throws(Errno) {
        guard areTimeoutsShort else { return }
        try driver.setTimeouts(of: device, options)
        setSendTimeouts(seconds: options.requestTimeout)
        areTimeoutsShort = false
    }

    /// Whether the kernel may get new connections. It gives one to the first dead one's place, whichever that is. If
    /// it has not read that one to its end, it would read the new one twice, once for each.
    private var mayOffer: Bool {
        guard liveCount == 0 || (isOffering && pauseEnd <= .now()) else { return false }
        return slots.allSatisfy { slot in
            switch slot.state {
            case .live, .offered: true
            case .ending: false
            case .dead(let since):
                slot.link.connection.unreadBytes == 0
                    || since.adding(milliseconds: Self.readPatience) < .now()
            }
        }
    }

    /// Has the connections proved that the kernel has taken, and ends some if it does not read others.
    private func prove() {
        if let proof, proof.isOver {
            proof.join()
            self.proof = nil
            if !isProofDue, areAllLive { rotationCount = 0 }
        }
        if proof == nil, isBeingProved {
            isProofDue = false
            proof = ConnectionProof(of: device.path, device.queueProcessors)
        }
        guard proof != nil else { return }
        let samples = slots.compactMap { slot -> ConnectionRotation.Sample? in
            guard case .live = slot.state else { return nil }
            return .init(number: slot.number, unreadBytes: slot.link.connection.unreadBytes)
        }
        let ending = rotation.connectionsToEnd(samples, at: .now())
        if !ending.isEmpty { end(ending) }
    }

    private func end(_ numbers: Set<Int>) {
        for index in slots.indices {
            guard case .live = slots[index].state, numbers.contains(slots[index].number) else {
                continue
            }
            slots[index].link.connection.finish()
            slots[index].state = .ending(since: .now())
        }
        rotationCount += 1
        let pause = ConnectionRotation.pause(after: rotationCount)
        pauseEnd = .now().adding(milliseconds: pause)
        logger.notice(
            "the kernel does not read a connection, so others are ended and replaced",
            metadata: [
                "device": "\(device)", "ended": "\(numbers.count)", "pause": "\(pause) ms",
            ])
    }

    /// Finds those that have died, and cuts them.
    private func bury() {
        let items = slots.map { PollSource.hangUp($0.link.connection.handle) }
        let marks = (try? PollSource.poll(items, milliseconds: 0)) ?? []
        for (index, isHungUp) in marks.enumerated() {
            switch slots[index].state {
            case .dead: continue
            case .ending(let since) where since.adding(milliseconds: Self.closingPatience) < .now():
                break
            case .live, .ending, .offered:
                guard isHungUp else { continue }
            }
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
        let offered = slots.indices.filter { slots[$0].isOffered }
        guard !offered.isEmpty else { return }
        areTimeoutsShort = slots.count > 1
        try driver.reconfigure(
            device, offered.map { slots[$0].link.connection },
            areTimeoutsShort ? options.whileProved : options)
        for index in offered where slots[index].link.connection.isAdopted {
            slots[index].state = .live
            slots[index].number = takenCount
            takenCount += 1
            isProofDue = true
            logger.notice(
                "a connection of the device has been replaced",
                metadata: ["device": "\(device)"])
        }
    }
}
