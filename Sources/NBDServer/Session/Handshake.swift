internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// The handshake of one connection: it carries bytes between the socket and a ``NBDProtocol/ServerNegotiation``.
struct Handshake: ~Copyable {
    private let socket: SocketHandle
    private let tls: TLSContext?
    private let stop: StopSignal
    private let deadline: MonotonicTime
    private let buffer: MemoryMapping
    private var negotiation: ServerNegotiation

    /// A handshake that offers these exports and must be done within a number of milliseconds.
    init(
        socket: SocketHandle, exports: [ExportInfo], tls: TLSContext?, milliseconds: Int,
        stop: StopSignal
    ) throws(Errno) {
        self.socket = socket
        self.tls = tls
        self.stop = stop
        deadline = MonotonicTime.now().adding(milliseconds: milliseconds)
        buffer = try MemoryMapping(privateBytes: Limits.optionDataKept)
        negotiation = ServerNegotiation(exports: exports, tls: tls?.policy ?? .off)
    }

    /// Negotiates until the client has chosen an export, and returns the result. Before the client is told that
    /// it has the export, `reserveSlot` returns whether there is a slot for it. If the client starts TLS on
    /// the way, the connection continues with `stream`.
    consuming func run(
        stream: inout TLSStream?, reserveSlot: () throws(DisconnectReason) -> Bool
    ) throws(DisconnectReason) -> ServerNegotiation.NegotiatedSession {
        do throws(DisconnectReason) {
            return try negotiate(&stream, reserveSlot)
        } catch {
            let isGone = [.disconnected, .closed, .failed(.connectionReset)].contains(error)
            throw isGone && negotiation.didRequireTLS ? .tlsRequired : error
        }
    }

    private mutating func negotiate(
        _ stream: inout TLSStream?, _ reserveSlot: () throws(DisconnectReason) -> Bool
    ) throws(DisconnectReason) -> ServerNegotiation.NegotiatedSession {
        var step = negotiation.start()
        while true {
            if case .serve = step.action, try !reserveSlot() {
                step = negotiation.didRejectExport()
            }
            do throws(DisconnectReason) {
                try send(step.output, stream)
            } catch {
                // A client that has asked to abort need not wait for the reply.
                throw step.action == .finish ? .disconnected : error
            }
            negotiation.isShuttingDown = stop.isSet
            switch step.action {
            case .receive(let count):
                step = negotiation.receive(try receive(count, stream).bytes)
            case .discard(let count):
                try discard(count, stream)
                step = negotiation.didDiscard()
            case .startTLS:
                stream = try startTLS()
                step = negotiation.didStartTLS()
            case .serve(let agreement):
                stream?.beginTransmission()
                return agreement
            case .finish: throw .disconnected
            case .reject(.shuttingDown): throw .stopped
            case .reject(.exportRejected): throw .noPlace
            case .fail(let error): throw .handshake(error)
            }
        }
    }

    private func startTLS() throws(DisconnectReason) -> TLSStream {
        guard let tls else { preconditionFailure("the negotiation knows that there is no TLS") }
        do throws(TLSHandshakeError) {
            return try TLSStream(tls, on: socket, deadline: deadline)
        } catch {
            switch error {
            case _ where stop.isSet: throw .stopped
            case .timeout: throw .handshakeTimeout
            case .failure(let failure): throw .tls(failure)
            }
        }
    }

    private func discard(_ count: Int, _ stream: TLSStream?) throws(DisconnectReason) {
        var left = count
        while left > 0 {
            let part = min(left, buffer.region.count)
            _ = try receive(part, stream)
            left -= part
        }
    }

    /// Receives exactly `count` bytes, and none of those that follow.
    private func receive(
        _ count: Int, _ stream: TLSStream?
    ) throws(DisconnectReason) -> MemoryRegion {
        let channel = stream?.channel ?? Channel(socket)
        var received = 0
        while received < count {
            let rest = buffer.region.slice(at: received, count: count - received)
            // Receives before it waits: TLS may hold bytes that the socket no longer has.
            switch channel.receive(into: rest, blocking: false) {
            case .bytes(let count): received += count
            case .wouldBlock: try waitForInput()
            case .endOfStream where stop.isSet: throw .stopped
            case .endOfStream: throw received == 0 ? .closed : .closedInMessage
            case .failed(let error): throw .failed(error)
            }
        }
        return buffer.region.slice(at: 0, count: count)
    }

    private func waitForInput() throws(DisconnectReason) {
        let milliseconds = try millisecondsLeft()
        do throws(Errno) {
            _ = try socket.waitReadable(milliseconds: milliseconds)
        } catch {
            throw .failed(error)
        }
    }

    /// Waits for room to send. A client that reads a reply byte by byte has no more time than a silent one.
    private func waitForRoom() throws(DisconnectReason) {
        let milliseconds = try millisecondsLeft()
        do throws(Errno) {
            _ = try socket.waitWritable(milliseconds: milliseconds)
        } catch {
            throw .failed(error)
        }
    }

    private func millisecondsLeft() throws(DisconnectReason) -> Int {
        let milliseconds = deadline.milliseconds(from: .now())
        guard milliseconds > 0 else { throw .handshakeTimeout }
        return milliseconds
    }

    private func send(_ bytes: [UInt8], _ stream: TLSStream?) throws(DisconnectReason) {
        let channel = stream?.channel ?? Channel(socket)
        var list = VectorList(capacity: 1)
        var sent = 0
        while sent < bytes.count {
            // Through the receive buffer, which is free at this point.
            let part = buffer.region.slice(
                at: 0, count: min(bytes.count - sent, buffer.region.count))
            part.copy(from: Array(bytes[sent..<sent + part.count]))
            list.append(part)
            while !list.isEmpty {
                switch channel.send(list, blocking: false) {
                case .bytes(let count): list.consume(count)
                case .wouldBlock: try waitForRoom()
                case .endOfStream: throw .closed
                case .failed(let error): throw .failed(error)
                }
            }
            sent += part.count
        }
    }
}
