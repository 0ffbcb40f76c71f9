internal import CGnuTLS
internal import Glibc
internal import LinuxIO
internal import SystemPackage

/// The data of one encrypted connection, after its TLS handshake. The connection's thread alone uses it.
///
/// GnuTLS alone would make two system calls for each record of 16 KiB that it reads, and one for each that it writes.
/// Here two buffers are between it and the socket: one receive fills the first with all that has arrived, and one send
/// empties the second, which holds the records of a batch of replies.
///
/// It returns the same results as a socket. GnuTLS may allocate memory for a record; this class does not.
final class TLSStream {
    /// The size of each of the two buffers in bytes: several records of a little more than 16 KiB.
    private static var bufferSize: Int { 128 << 10 }
    /// The most bytes of data in a record. RFC 8446, section 5.1
    private static var recordSize: Int { 16 << 10 }

    /// The encryption of the connection, and its client.
    let summary: TLSSummary
    /// The part that encrypts and decrypts.
    private let keeper: RecordLayer
    private let session: TLSSession
    private let socket: SocketHandle
    private let memory: MemoryMapping
    /// The data to encrypt as the next record.
    private let plain: MemoryRegion
    /// Bytes that have been received and not decrypted yet.
    private let incoming: MemoryRegion
    private var incomingStart = 0
    private var incomingEnd = 0
    /// Bytes that have been encrypted and not sent yet.
    private let outgoing: MemoryRegion
    private var outgoingCount = 0

    /// Whether GnuTLS's next read from the socket may block.
    private var mayWait = false
    /// Whether the last receive emptied the socket, so that another would find nothing.
    private var isDrained = false
    /// The socket's last result that was not bytes.
    private var obstacle: IOResult?
    /// Whether the client has ended its stream.
    private var hasEnded = false
    /// The error in the client's records, if that ended the connection.
    private var failure: TLSFailure?
    /// The end of the NBD handshake, before which the client must receive what it is sent; nil after it.
    private var deadline: MonotonicTime?

    /// Starts TLS on a socket, as its server. From then on every byte goes through this object, unless the kernel
    /// encrypts: see ``channel``.
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

    /// Notes that the NBD handshake is done: from now on the socket's own timeouts apply.
    func beginTransmission() { deadline = nil }

    /// The channel to receive and send through, which is valid as long as this object lives.
    var channel: Channel { summary.isInKernel ? Channel(socket) : Channel(socket, tls: self) }

    // MARK: - Receiving

    /// Receives what is there into the regions, in order, beginning with what GnuTLS has decrypted already.
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

    /// Receives what is there into one region.
    func receive(into region: MemoryRegion, blocking: Bool) -> IOResult {
        isDrained = false
        return result(fill(region, blocking: blocking))
    }

    private func result(_ received: Int) -> IOResult {
        if received > 0 { return .bytes(received) }
        if let failure = obstacle { return failure }
        return hasEnded ? .endOfStream : .failed(.badMessage)
    }

    /// Decrypts into a region until it is full or nothing more is there, and returns the number of bytes. Waits for
    /// the first byte only.
    private func fill(_ region: MemoryRegion, blocking: Bool) -> Int {
        var filled = 0
        obstacle = nil
        while filled < region.count, !hasEnded, failure == nil {
            mayWait = blocking && filled == 0
            var rest = region.suffix(from: filled).mutableSpan
            let count = unsafe rest.withUnsafeMutableBytes { bytes in
                // Sound: GnuTLS writes no more than the buffer's length.
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

    /// Returns whether to try again after a call that returned no data.
    private func goesOn(after code: CInt) -> Bool {
        switch code {
        case 0, GNUTLS_E_PREMATURE_TERMINATION:
            // NBD messages have their own lengths, so truncating the stream gains an attacker nothing.
            if obstacle == nil || obstacle == .endOfStream { hasEnded = true }
            return false
        case GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED:
            // If the socket did not fail, it was a record of TLS itself, such as a key update.
            return obstacle == nil
        case GNUTLS_E_REHANDSHAKE:
            // TLS 1.2 only. The server declines, and the client may continue.
            _ = unsafe gnutls_alert_send(
                session.pointer, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION)
            return true
        default:
            if gnutls_error_is_fatal(code) == 0 { return true }
            if obstacle == nil {
                failure = TLSFailure("the client sent an invalid TLS record", code: code)
            }
            return false
        }
    }

    // MARK: - Sending

    /// Sends from the regions, in order, and waits while the client does not read.
    ///
    /// The data is copied before it is encrypted: a disk's memory may change at any moment, and some ciphers read
    /// what they encrypt twice.
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

    /// Encrypts what is in the plain buffer, and returns whether that succeeded. It becomes more than one record if
    /// the client has asked for short ones.
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

    /// Sends what has been encrypted, and returns whether all of it was sent.
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

    /// Waits for room to send in the NBD handshake, and returns whether time is left.
    private func hasTimeLeft() -> Bool {
        guard let left = deadline?.milliseconds(from: .now()), left > 0 else { return false }
        return (try? socket.waitWritable(milliseconds: left)) ?? false
    }

    // MARK: - The end

    /// Sends close_notify, and waits up to a number of milliseconds for room to send it.
    func close(milliseconds: Int) {
        guard failure == nil else { return }
        if case .kernel = keeper { return socket.sendCloseNotify() }
        deadline = nil
        socket.setSendTimeout(milliseconds: milliseconds)
        _ = unsafe gnutls_bye(session.pointer, GNUTLS_SHUT_WR)
        if case .library = keeper { _ = flush() }
    }

    /// The reason why a connection ended whose socket reported an error.
    enum End {
        /// The client has sent close_notify.
        case closed
        /// The client has violated TLS.
        case broken(TLSFailure)
        /// The socket failed.
        case failed
    }

    /// Returns why receiving or sending failed.
    func end(after error: Errno) -> End {
        if let failure { return .broken(failure) }
        guard summary.isInKernel else { return .failed }
        switch error {
        // With kernel TLS, recv(2) fails when the next record is not application data; its type is read here.
        case .ioError: return socket.receiveNonDataRecord().map(end) ?? .failed
        // The kernel's errors for invalid records.
        case .badMessage, .messageTooLong, .invalidArgument:
            return .broken(TLSFailure("the client sent an invalid TLS record: \(error)"))
        default: return .failed
        }
    }

    private func end(by record: NonDataRecord) -> End {
        switch record {
        // The only warning that matters is close_notify.
        case .alert(isFatal: false, _): return .closed
        case .alert(_, let number):
            let alert = gnutls_alert_description_t(rawValue: UInt32(number))
            let name = unsafe String(tls: gnutls_alert_get_name(alert))
            return .broken(TLSFailure("the client aborted TLS: \(name)"))
        case .handshake:
            return .broken(
                TLSFailure("the client asked for new keys, which kernel TLS does not support"))
        case .other(let type):
            return .broken(TLSFailure("the client sent a TLS record of the unknown type \(type)"))
        }
    }

    // MARK: - GnuTLS's transport

    /// Connects GnuTLS to the buffers. It keeps a pointer to this object, which lives longer because it owns the
    /// session.
    private func takeOverTransport() {
        unsafe gnutls_transport_set_ptr(session.pointer, Unmanaged.passUnretained(self).toOpaque())
        unsafe gnutls_transport_set_pull_function(session.pointer) { stream, data, count in
            unsafe TLSStream.behind(stream).pull(data, count)
        }
        unsafe gnutls_transport_set_push_function(session.pointer) { stream, data, count in
            unsafe TLSStream.behind(stream).push(data, count)
        }
        // GnuTLS calls this only with a timeout, which is not set after the handshake.
        unsafe gnutls_transport_set_pull_timeout_function(session.pointer) { _, _ in 1 }
    }

    private static func behind(_ pointer: UnsafeMutableRawPointer?) -> TLSStream {
        guard let pointer = unsafe pointer else {
            preconditionFailure("GnuTLS passed no transport pointer")
        }
        // Sound: set above, and GnuTLS calls back only from calls that this stream makes.
        return unsafe Unmanaged<TLSStream>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Copies up to `wanted` encrypted bytes to GnuTLS; returns their number, 0 at the end, or -1 when there are none.
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
            // Sound: GnuTLS's buffer has room for what it asks for.
            guard let start = bytes.baseAddress else { return }
            unsafe data?.copyMemory(from: start, byteCount: bytes.count)
        }
        incomingStart += count
        return count
    }

    private func refill() -> IOResult {
        if isDrained, !mayWait { return .wouldBlock }
        // Records that GnuTLS has made while receiving, such as key updates, must not wait for the next reply.
        if mayWait, outgoingCount > 0, !flush() { return obstacle ?? .wouldBlock }
        let transfer = socket.receive(into: incoming, blocking: mayWait)
        if case .bytes(let count) = transfer {
            incomingStart = 0
            incomingEnd = count
            isDrained = count < incoming.count
        }
        return transfer
    }

    /// Appends encrypted bytes of GnuTLS, which are sent with others, or when the buffer is full.
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
            // Sound: GnuTLS has `count` bytes there, and the slice is as long.
            unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(start: data, count: count))
        }
        outgoingCount += count
        return count
    }
}
