// Encrypted bytes in, encrypted bytes out, a whole batch with one system call.
//
// The library would make two calls for each record of 16 KiB that it reads, and one for each that it
// writes. Between it and the socket there are two buffers here instead: what has arrived is taken
// with one receive, and what a batch of replies has become leaves with one send.

internal import CGnuTLS
internal import Glibc
internal import LinuxIO
internal import SystemPackage

/// The data of one encrypted connection, after its handshake. Used by the connection's thread alone.
///
/// It says what a socket says: ``LinuxIO/IOResult``. What the library allocates for each record is
/// not our affair; nothing here allocates.
final class TLSStream {
    /// Bytes in each of the two buffers: some records, of 16 KiB and a little more each.
    private static var bufferSize: Int { 128 << 10 }
    /// Most bytes of data in a record. RFC 8446, section 5.1
    private static var recordSize: Int { 16 << 10 }

    /// How the connection is encrypted, and for whom.
    let summary: TLSSummary
    /// Who does the records.
    private let keeper: RecordLayer
    private let session: TLSSession
    private let socket: SocketHandle
    private let memory: MemoryMapping
    /// Data that is about to become a record.
    private let plain: MemoryRegion
    /// What has been received and not been decrypted yet.
    private let incoming: MemoryRegion
    private var incomingStart = 0
    private var incomingEnd = 0
    /// What has been encrypted and not been sent yet.
    private let outgoing: MemoryRegion
    private var outgoingCount = 0

    /// Whether the library's next look at the socket may wait.
    private var mayWait = false
    /// Whether the last receive took all that was there, so that another would find nothing.
    private var isDrained = false
    /// What the socket said last that was no bytes.
    private var obstacle: IOResult?
    /// Whether the client has said that there is no more to come.
    private var hasEnded = false
    /// What is wrong with the client's records, if that is what ended the connection.
    private var failure: TLSFailure?
    /// Until when the client has to take what it is sent, in the handshake.
    private var deadline: MonotonicTime?

    /// Starts TLS on a socket, as its server. From here on every byte of it goes through here, unless
    /// the kernel does that part: see ``channel``.
    init(
        _ context: TLSContext, on socket: SocketHandle, deadline: MonotonicTime
    ) throws(TLSHandshakeError) {
        let session: TLSSession
        let memory: MemoryMapping
        do throws(TLSFailure) {
            session = try TLSSession.make(context)
        } catch {
            throw .failure(error)
        }
        do throws(Errno) {
            memory = try MemoryMapping(privateBytes: 2 * Self.bufferSize + Self.recordSize)
        } catch {
            throw .failure(TLSFailure("no memory for TLS: \(error)"))
        }
        var summary = try session.handshake(on: socket, deadline: deadline)
        do throws(TLSFailure) {
            keeper = try session.handToKernel(socket)
        } catch {
            throw .failure(error)
        }
        summary.isInKernel = keeper.isKernel
        self.summary = summary
        self.session = session
        self.socket = socket
        incoming = memory.region.slice(at: 0, count: Self.bufferSize)
        outgoing = memory.region.slice(at: Self.bufferSize, count: Self.bufferSize)
        plain = memory.region.suffix(from: 2 * Self.bufferSize)
        self.memory = memory
        self.deadline = deadline
        if !summary.isInKernel { takeOverTransport() }
    }

    /// The handshake of NBD is over too; from here on the socket's own limits are those that count.
    func beginTransmission() { deadline = nil }

    /// The connection's way in and out, as long as this lives.
    var channel: Channel { summary.isInKernel ? Channel(socket) : Channel(socket, tls: self) }

    // MARK: - Receiving

    /// Receives what there is into the regions, in order. What the library has decrypted already
    /// comes first, so a look that does not wait sees it.
    func receive(into list: borrowing VectorList, blocking: Bool) -> IOResult {
        isDrained = false
        var received = 0
        for index in 0..<list.count {
            let region = list[index]
            let count = fill(region, blocking: blocking && received == 0)
            received += count
            if count < region.count { break }
        }
        return result(received)
    }

    /// Receives what there is into one region.
    func receive(into region: MemoryRegion, blocking: Bool) -> IOResult {
        isDrained = false
        return result(fill(region, blocking: blocking))
    }

    private func result(_ received: Int) -> IOResult {
        if received > 0 { return .bytes(received) }
        if let failure = obstacle { return failure }
        return hasEnded ? .endOfStream : .failed(.badMessage)
    }

    /// Decrypts into a region until it is full or nothing more is there; waits for the first byte
    /// alone. Answers how many bytes that were.
    private func fill(_ region: MemoryRegion, blocking: Bool) -> Int {
        var filled = 0
        obstacle = nil
        while filled < region.count, !hasEnded, failure == nil {
            mayWait = blocking && filled == 0
            var rest = region.suffix(from: filled).mutableSpan
            let count = unsafe rest.withUnsafeMutableBytes { bytes in
                // Sound: the library writes no more than there is room for.
                unsafe gnutls_record_recv(session.pointer, bytes.baseAddress, bytes.count)
            }
            if count > 0 {
                filled += count
            } else if !goesOn(after: CInt(count)) {
                break
            }
        }
        return filled
    }

    /// Whether another try makes sense after one that brought no data.
    private func goesOn(after code: CInt) -> Bool {
        switch code {
        case 0, GNUTLS_E_PREMATURE_TERMINATION:
            // NBD has lengths of its own, so who cuts the end off gains nothing.
            if obstacle == nil || obstacle == .endOfStream { hasEnded = true }
            return false
        case GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED:
            // Without an obstacle it was a record of the protocol's own, such as new keys.
            return obstacle == nil
        case GNUTLS_E_REHANDSHAKE:
            // TLS 1.2 alone knows that. The client is told no, and may go on.
            _ = unsafe gnutls_alert_send(
                session.pointer, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION)
            return true
        default:
            if gnutls_error_is_fatal(code) == 0 { return true }
            if obstacle == nil { failure = TLSFailure("the client's TLS is broken", code: code) }
            return false
        }
    }

    // MARK: - Sending

    /// Sends from the regions, in order, and waits as long as the client is not reading.
    ///
    /// All is copied before it is encrypted: a disk's memory may change at any moment, and some
    /// ciphers look at what they encrypt twice.
    func send(_ list: borrowing VectorList) -> IOResult {
        obstacle = nil
        var filled = 0
        for index in 0..<list.count {
            var rest = list[index]
            while rest.count > 0 {
                let part = min(rest.count, plain.count - filled)
                plain.slice(at: filled, count: part).copy(from: rest.slice(at: 0, count: part))
                rest = rest.suffix(from: part)
                filled += part
                guard filled == plain.count else { continue }
                guard sendRecord(filled) else { return result(0) }
                filled = 0
            }
        }
        guard filled == 0 || sendRecord(filled), flush() else { return result(0) }
        return .bytes(list.byteCount)
    }

    /// Encrypts what is in the plain buffer; whether that went well. A client may have asked for
    /// records so short that it becomes more than one.
    private func sendRecord(_ count: Int) -> Bool {
        var sent = 0
        while sent < count {
            let rest = plain.slice(at: sent, count: count - sent).span
            let result = unsafe rest.withUnsafeBytes { bytes in
                unsafe gnutls_record_send(session.pointer, bytes.baseAddress, bytes.count)
            }
            if result > 0 {
                sent += result
            } else if gnutls_error_is_fatal(CInt(result)) != 0 || obstacle != nil {
                return false
            }
        }
        return true
    }

    /// Sends what has been encrypted; whether all of it could be.
    private func flush() -> Bool {
        var sent = 0
        while sent < outgoingCount {
            let rest = outgoing.slice(at: sent, count: outgoingCount - sent)
            let transfer = socket.send(rest, blocking: deadline == nil)
            switch transfer {
            case .bytes(let count): sent += count
            case .wouldBlock where hasTimeLeft(): continue
            default:
                obstacle = transfer
                return false
            }
        }
        outgoingCount = 0
        return true
    }

    /// Waits for room to send in the handshake; whether there is time left for more of it.
    private func hasTimeLeft() -> Bool {
        guard let left = deadline?.milliseconds(from: .now()), left > 0 else { return false }
        return (try? socket.waitWritable(milliseconds: left)) ?? false
    }

    // MARK: - The end

    /// Says that there is no more to come, if the client takes that within so many milliseconds.
    func close(milliseconds: Int) {
        guard failure == nil else { return }
        if case .kernel = keeper { return socket.sendCloseNotify() }
        deadline = nil
        socket.setSendTimeout(milliseconds: milliseconds)
        _ = unsafe gnutls_bye(session.pointer, GNUTLS_SHUT_WR)
        if case .library = keeper { _ = flush() }
    }

    /// What a connection's end was, where all that is known is that it broke.
    enum End {
        /// The client has said that there is no more to come.
        case closed
        /// The client's TLS was not as it has to be.
        case broken(TLSFailure)
        /// The socket broke.
        case failed
    }

    /// What it was that made receiving or sending fail.
    func end(after error: Errno) -> End {
        if let failure { return .broken(failure) }
        guard summary.isInKernel else { return .failed }
        switch error {
        // The kernel hands out data alone; a record of another type is an error to who wants data.
        case .ioError: return socket.receiveNonDataRecord().map(end) ?? .failed
        // What it says of records that are none.
        case .badMessage, .messageTooLong, .invalidArgument:
            return .broken(TLSFailure("the client's TLS is broken: \(error)"))
        default: return .failed
        }
    }

    private func end(by record: NonDataRecord) -> End {
        switch record {
        // Of the warnings there is one that matters: that there is no more to come.
        case .alert(isFatal: false, _): return .closed
        case .alert(_, let number):
            let alert = gnutls_alert_description_t(rawValue: UInt32(number))
            let name = unsafe String(tls: gnutls_alert_get_name(alert))
            return .broken(TLSFailure("the client broke TLS off: \(name)"))
        case .handshake:
            return .broken(
                TLSFailure("the client wants other keys, which TLS in the kernel does not have"))
        case .other(let type):
            return .broken(TLSFailure("the client sent a record of type \(type)"))
        }
    }

    // MARK: - Between the library and the socket

    /// From here on the library gets its bytes from the buffers. It keeps a pointer to this, which
    /// lives longer: it owns the session.
    private func takeOverTransport() {
        unsafe gnutls_transport_set_ptr(session.pointer, Unmanaged.passUnretained(self).toOpaque())
        unsafe gnutls_transport_set_pull_function(session.pointer) { stream, data, count in
            unsafe TLSStream.behind(stream).pull(data, count)
        }
        unsafe gnutls_transport_set_push_function(session.pointer) { stream, data, count in
            unsafe TLSStream.behind(stream).push(data, count)
        }
        // Asked only where a time was set, which is not done after the handshake.
        unsafe gnutls_transport_set_pull_timeout_function(session.pointer) { _, _ in 1 }
    }

    private static func behind(_ pointer: UnsafeMutableRawPointer?) -> TLSStream {
        guard let pointer = unsafe pointer else {
            preconditionFailure("GnuTLS has lost its stream")
        }
        // Sound: set above, and the library calls back only from calls that this stream makes.
        return unsafe Unmanaged<TLSStream>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// The library wants bytes: at most so many, -1 when there are none.
    private func pull(_ data: UnsafeMutableRawPointer?, _ wanted: Int) -> Int {
        if incomingStart == incomingEnd {
            let transfer = refill()
            guard case .bytes = transfer else {
                obstacle = transfer
                if transfer == .endOfStream { return 0 }
                unsafe gnutls_transport_set_errno(
                    session.pointer, transfer == .wouldBlock ? EAGAIN : EIO)
                return -1
            }
        }
        let count = min(wanted, incomingEnd - incomingStart)
        unsafe incoming.slice(at: incomingStart, count: count).span.withUnsafeBytes { bytes in
            // Sound: the library's own buffer has room for what it wants.
            guard let start = bytes.baseAddress else { return }
            unsafe data?.copyMemory(from: start, byteCount: bytes.count)
        }
        incomingStart += count
        return count
    }

    private func refill() -> IOResult {
        if isDrained, !mayWait { return .wouldBlock }
        // New keys of ours may have been made on the way; the client must not wait for them.
        if mayWait, outgoingCount > 0, !flush() { return obstacle ?? .wouldBlock }
        let transfer = socket.receive(into: incoming, blocking: mayWait)
        if case .bytes(let count) = transfer {
            incomingStart = 0
            incomingEnd = count
            isDrained = count < incoming.count
        }
        return transfer
    }

    /// The library has bytes to send. They are sent with others, or when there is no room for them.
    private func push(_ data: UnsafeRawPointer?, _ count: Int) -> Int {
        guard count <= outgoing.count - outgoingCount || flush(), count <= outgoing.count,
            let data = unsafe data
        else {
            unsafe gnutls_transport_set_errno(
                session.pointer, obstacle == .wouldBlock ? EAGAIN : EIO)
            return -1
        }
        var room = outgoing.slice(at: outgoingCount, count: count).mutableSpan
        unsafe room.withUnsafeMutableBytes { bytes in
            // Sound: so many bytes are the library's, and there is room for as many.
            unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(start: data, count: count))
        }
        outgoingCount += count
        return count
    }
}
