internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// A connected client. Its thread runs ``run(_:)``; the acceptor made it, and joins it.
final class Connection: Sendable {
    let number: UInt64
    /// Who it is; nil when it was handed over.
    let peer: Peer?
    private let socket: StreamSocket
    /// Bytes of replies that a Unix socket takes before the client has read them: a batch. The system's
    /// 208 KiB make the sender wait four times a batch. TCP finds its own size.
    private static var unixSendBuffer: Int { 1 << 20 }
    /// Its place among the connections of the same client, if there may be more than one.
    private let membership: ConnectionGroup.Membership?
    private let phase = Atomic(ConnectionPhase.handshake)

    init(
        number: UInt64, socket: consuming StreamSocket, peer: Peer?,
        membership: ConnectionGroup.Membership? = nil
    ) {
        self.number = number
        self.socket = socket
        self.peer = peer
        self.membership = membership
    }

    /// Where it comes from, as far as limits go.
    var source: Peer.Source { peer?.source ?? .unknown }

    /// Whether its thread is done, or as good as.
    var hasEnded: Bool { phase.load(ordering: .acquiring) == .ended }

    /// Whether it has not chosen an export yet.
    var isInHandshake: Bool { phase.load(ordering: .acquiring) == .handshake }

    /// What the thread does: the handshake, then requests until there are no more.
    func run(_ context: ServerContext, _ insight: ConnectionCounters) {
        Probes.connectionOpen(number)
        // A processor that is gone by now is no reason to turn a client away.
        if let processor = context.options.processor(for: number) {
            try? Processor.bind(to: [processor])
        }
        var end = serve(context, insight)
        membership?.leave()
        if phase.load(ordering: .acquiring) == .evicted { end = .evicted }
        if end.isViolation { context.insights.violated() }
        insight.end()
        let figures = insight.figures(at: .now())
        Probes.connectionClose(number, requests: figures.activity.requests)
        context.onEvent(.ended(number, end, figures))
        // Marked before the client can know: a client that has seen the end finds its place free.
        switch phase.exchange(.ended, ordering: .acquiringAndReleasing) {
        case .handshake: context.places.leaveHandshake()
        case .serving: context.places.giveBack()
        case .evicted, .ended: break
        }
        context.places.noteEnd()
        socket.handle.shutdownBoth()
        context.wakeUp.signal()
    }

    /// Closes it if it is still in the handshake, and says whether it was. Its thread ends at once.
    func evict(_ places: ConnectionSlots) -> Bool {
        guard moveOn(to: .evicted) else { return false }
        places.leaveHandshake()
        socket.handle.shutdownBoth()
        return true
    }

    /// Takes a place, before the client is told that it has an export. Says whether there was one; who
    /// gets none stays in the handshake.
    private func beginServing(_ context: ServerContext) throws(DisconnectReason) -> Bool {
        let places = context.places
        guard places.take() else {
            context.insights.refused()
            context.onEvent(.refused(.connectionLimit(places.limit), peer: peer))
            return false
        }
        guard moveOn(to: .serving) else {
            places.giveBack()
            throw .evicted
        }
        places.leaveHandshake()
        // Not before: in the handshake are clients that have shown nothing yet, and may be many.
        if context.options.usesMemoryReserve { try? MemoryPressure.enterRealTimeClass() }
        return true
    }

    private func moveOn(to next: ConnectionPhase) -> Bool {
        phase.compareExchange(
            expected: .handshake, desired: next, ordering: .acquiringAndReleasing
        ).exchanged
    }

    private func serve(_ context: ServerContext, _ insight: ConnectionCounters) -> DisconnectReason
    {
        var stream: TLSStream?
        let end = serve(context, insight, &stream)
        guard let stream else { return end }
        return end.closing(stream)
    }

    private func serve(
        _ context: ServerContext, _ insight: ConnectionCounters, _ stream: inout TLSStream?
    ) -> DisconnectReason {
        let handle = socket.handle
        handle.disableDelay()
        if handle.isUnix {
            // What replies take is the kernel's memory; there may be little of it.
            if !context.options.usesMemoryReserve {
                handle.setSendBuffer(bytes: Self.unixSendBuffer)
            }
        } else {
            // A client whose machine is gone gives its place back after some ten minutes.
            handle.keepAlive(idleSeconds: 300, everySeconds: 60, times: 5)
        }
        do throws(DisconnectReason) {
            let agreement = try negotiate(context, &stream)
            let export = context.exports[agreement.export]
            insight.choose(export: agreement.export)
            if stream != nil { insight.encrypt() }
            context.onEvent(
                .serving(number, export: export.name, peer: peer, tls: stream?.summary))
            handle.setStallTimeout(milliseconds: context.options.stallMilliseconds)
            let transmission: Transmission
            // Kept until the transmission has ended, which has but a pointer to it.
            var session: StoreSession?
            defer { withExtendedLifetime(session) {} }
            do throws(Errno) {
                let pages: DiskPages
                switch export.storage {
                case .ram(let disk): pages = disk.pages
                case .custom(let store):
                    let new = try StoreSession(store)
                    pages = new.noPages
                    session = new
                }
                transmission = try Transmission(
                    channel: stream?.channel ?? Channel(handle), disk: pages,
                    store: session.map { StoreHandle($0) },
                    rules: export.rules(agreement), format: agreement.format, stop: context.stop,
                    pollMicroseconds: context.options.pollMicroseconds, meter: insight.meter,
                    siblings: membership?.siblings)
            } catch {
                throw .failed(error)
            }
            return transmission.run()
        } catch {
            return error
        }
    }

    /// The handshake; answers what was agreed on.
    private func negotiate(
        _ context: ServerContext, _ stream: inout TLSStream?
    ) throws(DisconnectReason) -> ServerNegotiation.NegotiatedSession {
        let handshake: Handshake
        do throws(Errno) {
            handshake = try Handshake(
                socket: socket.handle, exports: context.exportInfos, tls: context.options.tls,
                milliseconds: context.options.handshakeMilliseconds, stop: context.stop)
        } catch {
            throw .failed(error)
        }
        return try handshake.run(stream: &stream) { () throws(DisconnectReason) in
            try beginServing(context)
        }
    }

    /// The server is being stopped: what has been received can still be read, then comes the end.
    func stopReceiving() { socket.handle.shutdownReceiving() }

    /// The time for that is over.
    func cut() { socket.handle.shutdownBoth() }
}
