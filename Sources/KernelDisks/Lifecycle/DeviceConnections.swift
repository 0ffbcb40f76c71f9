internal import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import Logging
package import NBDKernel
internal import SystemPackage

/// The part of the nbd driver that ``DeviceConnections`` uses. Tests have a driver of their own.
protocol ConnectionDriver: ~Copyable {
    /// Offers the kernel connections in place of dead ones, and sets the device's timeouts.
    mutating func reconfigure(
        _ device: NBDDevice, _ connections: [NBDConnection], _ options: NBDDeviceOptions
    ) throws(Errno)

    /// Sets the device's timeouts.
    mutating func setTimeouts(
        of device: NBDDevice, _ options: NBDDeviceOptions
    ) throws(Errno)
}

extension NBDDriver: ConnectionDriver {}

/// The connections between a device and its server, one for each queue of the device.
///
/// A dead connection is replaced in three steps, and none may be left out:
///
/// 1. This process shuts its copy of the socket down in both directions, so that the server sees the end of
///    the stream.
/// 2. It waits until the server is done with the connection. Until then the server may still execute requests
///    that it has received on it, and the kernel sends the same requests again on another connection. An old
///    request that is executed after the repeated one, or after a later write, would overwrite newer data.
/// 3. It offers the kernel a new connection.
///
/// The kernel adopts an offered connection only after it has noticed by itself that the old one is dead. It
/// does not report whether it has adopted one, but it marks the socket (see
/// ``NBDKernel/NBDConnection/isAdopted``). Offers are therefore repeated until the mark is there.
///
/// When a device has several connections, this class also checks that the kernel reads those that it has
/// adopted (see ``ConnectionProof``). When the kernel does not read one, others are ended so that it can (see
/// ``ConnectionRotation``), and are then replaced.
final class DeviceConnections {
    private struct Slot {
        enum State {
            /// The kernel uses the connection.
            case live
            /// The connection has been shut down for sending at this time. The kernel reads the remaining
            /// replies.
            case ending(since: MonotonicTime)
            /// The connection has been dead since this time. The server may not be done with it.
            case dead(since: MonotonicTime)
            /// A new connection that the kernel is offered and has not adopted.
            case offered
        }

        var connection: ServerConnection
        var state: State
        /// The position of the connection in the order in which the kernel has adopted them.
        var adoptionOrder = 0

        /// The kernel's end of the connection.
        var kernelEnd: NBDConnection { connection.connection }

        var isOffered: Bool { if case .offered = state { true } else { false } }
    }

    /// Milliseconds between two offers of the same connection.
    private static var offerInterval: Int { 20 }
    /// Milliseconds that the server gets to be done with a dead connection. After that it counts as hung, and
    /// ``DiskServer/endByForce()`` is called.
    private static var endTimeLimit: Int { 10_000 }
    /// Milliseconds that the server gets to close a connection that has been shut down for sending.
    private static var closingTimeLimit: Int { 500 }
    /// Milliseconds that the kernel gets to read the replies on a dead connection. After that they count as
    /// never to be read.
    private static var readTimeLimit: Int { 1_000 }

    let device: NBDDevice
    /// The options of the device once all its connections are proved.
    var options: NBDDeviceOptions
    /// Whether dead connections are replaced while others are live.
    var isOffering = true
    /// Whether the kernel has adopted connections since the last proof began.
    private var isProofDue: Bool
    private var proof: ConnectionProof?
    /// Whether the device has the short timeouts of ``NBDKernel/NBDDeviceOptions/whileProved``.
    private var areTimeoutsShort: Bool
    private var rotation = ConnectionRotation()
    /// The number of rotations since the kernel last read all connections.
    private var rotationCount = 0
    /// No connection is offered before this time, unless none is live.
    private var pauseEnd: MonotonicTime
    private var adoptedCount: Int
    /// The last logged reason why a connection could not be opened. The same reason is not logged twice in a
    /// row.
    private var loggedReason = ""
    private let logger: Logger
    private let now: () -> MonotonicTime
    private var slots: [Slot]

    /// Creates the state of a device's connections.
    ///
    /// - Parameters:
    ///   - connections: the connections that the kernel already uses, or, when `isOffered` is set, those that
    ///     it will be offered for a device that is already attached.
    ///   - now: the clock.
    init(
        _ device: NBDDevice, _ connections: [ServerConnection], _ options: NBDDeviceOptions,
        isOffered: Bool, logger: Logger, now: @escaping () -> MonotonicTime = { .now() }
    ) {
        self.device = device
        self.options = options
        self.logger = logger
        self.now = now
        pauseEnd = now()
        slots = connections.enumerated().map {
            Slot(connection: $1, state: isOffered ? .offered : .live, adoptionOrder: $0)
        }
        adoptedCount = connections.count
        isProofDue = !isOffered
        areTimeoutsShort = !isOffered && connections.count > 1
    }

    /// The hang-ups of the connections that are live or ending.
    var pollSources: [PollSource] {
        slots.compactMap { slot in
            switch slot.state {
            case .live, .ending: .hangUp(slot.kernelEnd.handle)
            case .dead, .offered: nil
            }
        }
    }

    /// Milliseconds after which ``poll(_:_:)`` must be called even if nothing has happened; nil when only an
    /// event requires it.
    var pollTimeout: Int? {
        if isBeingProved { return ConnectionProof.interval }
        return areAllLive ? nil : Self.offerInterval
    }

    /// The number of connections that the kernel uses.
    var liveCount: Int {
        slots.count { if case .live = $0.state { true } else { false } }
    }

    /// Whether the kernel uses every connection.
    var areAllLive: Bool { liveCount == slots.count }

    /// Whether it is still unknown that the kernel reads every connection that it uses.
    var isBeingProved: Bool {
        proof != nil || (isProofDue && slots.count > 1 && liveCount > 0)
    }

    /// Sets the send timeout of every live connection; 0 means none. A send that takes longer than a request
    /// may take is then given up. The kernel sets this timeout when it adopts a socket, and does not update
    /// it when the device's timeout changes later.
    func setSendTimeouts(seconds: UInt64) {
        for slot in slots {
            guard case .live = slot.state else { continue }
            slot.kernelEnd.handle.setSendTimeout(milliseconds: Int(seconds) * 1000)
        }
    }

    /// Closes the offered connections that the kernel has not adopted, and forgets them.
    func dropOffered() {
        for slot in slots where slot.isOffered { slot.kernelEnd.cut() }
        slots.removeAll(where: \.isOffered)
    }

    /// Moves each connection to its next state, as far as that is possible without waiting.
    ///
    /// - Throws: the error with which the driver has refused an offer or new timeouts.
    func poll<Driver: ConnectionDriver & ~Copyable>(
        _ server: any DiskServer, _ driver: inout Driver
    ) throws(Errno) {
        reapDead()
        let isOfferingNow = mayOffer
        for index in slots.indices {
            guard case .dead(let since) = slots[index].state else { continue }
            if server.hasEnded(slots[index].connection) {
                if isOfferingNow { replace(index, server) }
            } else if since.adding(milliseconds: Self.endTimeLimit) < now() {
                server.endByForce()
                slots[index].state = .dead(since: now())
            }
        }
        if isOfferingNow { try offer(&driver) }
        prove()
        if !isBeingProved, !slots.contains(where: \.isOffered) { try restoreTimeouts(&driver) }
    }

    /// Gives the device its own timeouts again, if it has the short ones.
    func restoreTimeouts<Driver: ConnectionDriver & ~Copyable>(
        _ driver: inout Driver
    ) throws(Errno) {
        guard areTimeoutsShort else { return }
        try driver.setTimeouts(of: device, options)
        setSendTimeouts(seconds: options.requestTimeout)
        areTimeoutsShort = false
    }

    /// Whether the kernel may be offered new connections now. The kernel puts an adopted connection in the
    /// place of the first dead one, whichever that is. If it has not read the dead connection to its end, two
    /// of its work items would read the new connection, one for each.
    private var mayOffer: Bool {
        guard liveCount == 0 || (isOffering && pauseEnd <= now()) else { return false }
        return slots.allSatisfy { slot in
            switch slot.state {
            case .live, .offered: true
            case .ending: false
            case .dead(let since):
                slot.kernelEnd.unreadBytes == 0
                    || since.adding(milliseconds: Self.readTimeLimit) < now()
            }
        }
    }

    /// Starts a proof after the kernel has adopted connections, and ends connections when the kernel does not
    /// read others.
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
            return .init(adoptionOrder: slot.adoptionOrder, unreadBytes: slot.kernelEnd.unreadBytes)
        }
        let ending = rotation.connectionsToEnd(samples, at: now())
        if !ending.isEmpty { finish(ending) }
    }

    private func finish(_ adoptionOrders: Set<Int>) {
        for index in slots.indices {
            guard case .live = slots[index].state,
                adoptionOrders.contains(slots[index].adoptionOrder)
            else {
                continue
            }
            slots[index].kernelEnd.finish()
            slots[index].state = .ending(since: now())
        }
        rotationCount += 1
        let pause = ConnectionRotation.pause(after: rotationCount)
        pauseEnd = now().adding(milliseconds: pause)
        logger.notice(
            "the kernel does not read a connection; ending and replacing others so that it does",
            metadata: [
                "device": "\(device)", "ended": "\(adoptionOrders.count)", "pause": "\(pause) ms",
            ])
    }

    /// Finds connections that have died, and shuts them down in both directions.
    private func reapDead() {
        let pollSources = slots.map { PollSource.hangUp($0.kernelEnd.handle) }
        let hangUps = (try? PollSource.poll(pollSources, milliseconds: 0)) ?? []
        for (index, isHungUp) in hangUps.enumerated() {
            switch slots[index].state {
            case .dead: continue
            case .ending(let since) where since.adding(milliseconds: Self.closingTimeLimit) < now():
                break
            case .live, .ending, .offered:
                guard isHungUp else { continue }
            }
            slots[index].kernelEnd.cut()
            slots[index].state = .dead(since: now())
        }
    }

    /// Opens a new connection in place of a dead one. A failure is logged, and the next poll tries again.
    private func replace(_ index: Int, _ server: any DiskServer) {
        do throws(Failure) {
            slots[index] = Slot(connection: try server.connect(), state: .offered)
            loggedReason = ""
        } catch {
            guard error.sentence != loggedReason else { return }
            logger.warning("cannot open a new connection, trying again: \(error.sentence)")
            loggedReason = error.sentence
        }
    }

    private func offer<Driver: ConnectionDriver & ~Copyable>(
        _ driver: inout Driver
    ) throws(Errno) {
        let offered = slots.indices.filter { slots[$0].isOffered }
        guard !offered.isEmpty else { return }
        areTimeoutsShort = slots.count > 1
        try driver.reconfigure(
            device, offered.map { slots[$0].kernelEnd },
            areTimeoutsShort ? options.whileProved : options)
        for index in offered where slots[index].kernelEnd.isAdopted {
            slots[index].state = .live
            slots[index].adoptionOrder = adoptedCount
            adoptedCount += 1
            isProofDue = true
            logger.notice(
                "a connection of the device has been replaced",
                metadata: ["device": "\(device)"])
        }
    }
}
