internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// The phases of a connection. Its own thread moves it on, except that the acceptor evicts it.
private enum ConnectionPhase: UInt8, AtomicRepresentable {
    /// The client has not chosen an export yet, and has no slot.
    case handshake
    /// The connection has a slot.
    case serving
    /// The acceptor has closed it in the handshake, to make room for another.
    case evicted
    /// Its thread is about to return, or has.
    case ended
}

/// A connected client. The acceptor makes it, and starts and joins its thread, which calls ``run(_:_:)``.
final class Connection: Sendable {
    let number: UInt64
    /// The client; nil when the connection was passed to the server.
    let peer: Peer?
    private let socket: StreamSocket
    /// The bytes of replies that a Unix socket's buffer holds until the client reads them: a batch. With the
    /// system's 208 KiB the sender would sleep four times a batch. TCP adapts its buffer itself.
    private static var unixSendBuffer: Int { 1 << 20 }
    /// Its membership in the group of its client's connections, if there may be more than one.
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

    /// The client, as events report it.
    var client: ClientAddress? { peer.map { ClientAddress($0) } }

    /// The source that limits count it for.
    var source: Peer.Source { peer?.source ?? .unknown }

    /// Whether its thread is about to return, or has.
    var hasEnded: Bool { phase.load(ordering: .acquiring) == .ended }

    /// Whether the client has not chosen an export yet.
    var isInHandshake: Bool { phase.load(ordering: .acquiring) == .handshake }

    /// Performs the handshake, then serves requests until the connection ends. The connection's thread calls it.
    func run(_ context: ServerContext, _ counters: ConnectionCounters) {
        Probes.connectionOpen(number)
        // Do not reject a client because a processor is offline.
        if let processor = context.options.processor(for: number) {
            try? Processor.bind(to: [processor])
        }
        var end = serve(context, counters)
        membership?.leave()
        if phase.load(ordering: .acquiring) == .evicted { end = .evicted }
        if end.isViolation { context.statistics.recordViolation() }
        counters.end()
        let figures = counters.statistics(at: .now())
        Probes.connectionClose(number, requests: figures.activity.requests)
        context.onEvent(
            .ended(.init(connection: number, reason: end, statistics: figures)))
        // Before the socket is shut down: a client that has seen the end finds its slot free.
        switch phase.exchange(.ended, ordering: .acquiringAndReleasing) {
        case .handshake: context.slots.endHandshake()
        case .serving: context.slots.release()
        case .evicted, .ended: break
        }
        context.slots.noteEnd()
        socket.handle.shutdownBoth()
        context.wakeUp.signal()
    }

    /// Closes the connection if it is still in the handshake, and returns whether it was. Its thread ends at once.
    func evict(_ slots: ConnectionSlots) -> Bool {
        guard moveOn(to: .evicted) else { return false }
        slots.endHandshake()
        socket.handle.shutdownBoth()
        return true
    }

    /// Acquires a slot, before the client is told that it has an export. Returns false when all are taken; then
    /// the connection stays in the handshake.
    private func reserveSlot(_ context: ServerContext) throws(DisconnectReason) -> Bool {
        let slots = context.slots
        guard slots.tryAcquire() else {
            context.statistics.recordRejection()
            context.onEvent(
                .rejected(.init(reason: .connectionLimit(slots.limit), client: client)))
            return false
        }
        guard moveOn(to: .serving) else {
            slots.release()
            throw .evicted
        }
        slots.endHandshake()
        // Not before: there may be many clients in the handshake, none of which has proved anything yet.
        if context.options.usesMemoryReserve { try? MemoryPressure.enterRealTimeClass() }
        return true
    }

    private func moveOn(to next: ConnectionPhase) -> Bool {
        phase.compareExchange(
            expected: .handshake, desired: next, ordering: .acquiringAndReleasing
        ).exchanged
    }

    private func serve(_ context: ServerContext, _ counters: ConnectionCounters) -> DisconnectReason
    {
        var stream: TLSStream?
        let end = serve(context, counters, &stream)
        guard let stream else { return end }
        return end.closing(stream)
    }

    private func serve(
        _ context: ServerContext, _ counters: ConnectionCounters, _ stream: inout TLSStream?
    ) -> DisconnectReason {
        let handle = socket.handle
        handle.disableDelay()
        if handle.isUnix {
            // The buffer is kernel memory, of which there may be little.
            if !context.options.usesMemoryReserve {
                handle.setSendBuffer(bytes: Self.unixSendBuffer)
            }
        } else {
            // A client whose machine has vanished loses its slot after about ten minutes.
            handle.keepAlive(idleSeconds: 300, everySeconds: 60, times: 5)
        }
        do throws(DisconnectReason) {
            let exports = context.exports
            let agreement = try negotiate(context, exports, &stream)
            let export = exports.all[agreement.export]
            counters.choose(export: export.name)
            if stream != nil { counters.encrypt() }
            context.onEvent(
                .serving(
                    .init(
                        connection: number, export: export.name, client: client,
                        tls: stream?.summary)))
            handle.setStallTimeout(
                milliseconds: context.options.stallTimeout?.wholeMilliseconds ?? 0)
            return try transmit(
                export, agreement, through: stream?.channel ?? Channel(handle), context, counters)
        } catch {
            return error
        }
    }

    /// Serves requests until the connection ends, and returns why it did.
    private func transmit(
        _ export: Export, _ agreement: ServerNegotiation.NegotiatedSession,
        through channel: Channel, _ context: ServerContext, _ counters: ConnectionCounters
    ) throws(DisconnectReason) -> DisconnectReason {
        // Kept until the transmission has ended, which holds an unmanaged pointer to it, or the address of its memory.
        var session: StoreSession?
        var clone: RamDisk?
        defer { withExtendedLifetime((session, clone)) {} }
        let transmission: Transmission
        do throws(Errno) {
            let pages: DiskPages
            switch export.storage {
            case .ram(let disk):
                pages = disk.pages
                if disk.isPending {
                    session = try StoreSession(
                        disk, contexts: export.contexts, until: disk.lateContents)
                }
            case .clones(let template):
                let disk = try makeClone(of: template)
                pages = disk.pages
                clone = disk
            case .custom(let store):
                let new = try StoreSession(store, contexts: export.contexts)
                pages = new.noPages
                session = new
            }
            transmission = try Transmission(
                channel: channel, disk: pages, store: session.map { StoreHandle($0) },
                rules: export.rules(agreement), format: agreement.format, stop: context.stop,
                pollMicroseconds: context.options.busyPolling.wholeMicroseconds,
                meter: counters.meter, siblings: membership?.siblings)
        } catch {
            throw .failed(error)
        }
        return transmission.run()
    }

    private func makeClone(of template: DiskTemplate) throws(Errno) -> RamDisk {
        do throws(RamDiskError) {
            return try RamDisk(cloning: template)
        } catch {
            if case .cannotAllocate(_, let reason) = error { throw reason }
            throw .noMemory
        }
    }

    /// Performs the handshake, and returns what was negotiated.
    private func negotiate(
        _ context: ServerContext, _ exports: ExportList, _ stream: inout TLSStream?
    ) throws(DisconnectReason) -> ServerNegotiation.NegotiatedSession {
        let handshake: Handshake
        do throws(Errno) {
            handshake = try Handshake(
                socket: socket.handle, exports: exports.infos, tls: context.options.tls,
                milliseconds: context.options.handshakeTimeout.wholeMilliseconds,
                stop: context.stop)
        } catch {
            throw .failed(error)
        }
        return try handshake.run(stream: &stream) { () throws(DisconnectReason) in
            try reserveSlot(context)
        }
    }

    /// Ends receiving, because the server stops: the thread serves what the socket has received, then sees the
    /// end of the stream.
    func stopReceiving() { socket.handle.shutdownReceiving() }

    /// Closes the connection, because the grace period is over.
    func cut() { socket.handle.shutdownBoth() }
}

extension ConnectionStatistics {
    /// Bytes of memory that a connection maps for its receive buffer, stack, counters and trace.
    /// Only those pages of it that have been touched take up RAM.
    public static var mappedBytes: Int {
        ReceiveBuffer.capacity + Thread.stackSize + CounterLayout.byteCount
    }
}
