internal import CGnuTLS
internal import LinuxIO
internal import SystemPackage

/// The part that encrypts and decrypts records after the handshake.
enum RecordLayer {
    /// GnuTLS, through the buffers of a ``TLSStream``.
    case library
    /// The kernel, set up by GnuTLS.
    case kernelByLibrary
    /// The kernel, set up by this file.
    case kernel

    /// Whether the kernel encrypts and decrypts.
    var isKernel: Bool {
        if case .library = self { false } else { true }
    }
}

extension TLSSession {
    /// Hands encryption to the kernel if possible, and returns what encrypts from then on.
    ///
    /// GnuTLS does this by itself if it was built with KTLS and its configuration enables it. Otherwise this
    /// function does it for sessions that ``suitsKernel`` allows.
    func handToKernel(_ socket: SocketHandle) throws(TLSFailure) -> RecordLayer {
        if unsafe cgnutls_kernel_does_records(pointer) != 0 { return .kernelByLibrary }
        guard suitsKernel else { return .library }
        do throws(Errno) {
            // Until it has keys, the socket works as before.
            try socket.attachKernelTLS()
            try useKernel(socket, .receiving)
        } catch {
            return .library
        }
        do throws(Errno) {
            try useKernel(socket, .sending)
        } catch {
            throw TLSFailure(
                "the kernel accepted the keys for receiving, but not those for sending: \(error)")
        }
        return .kernel
    }

    /// Whether the kernel can continue this session to its end.
    ///
    /// - TLS 1.2: its keys never change. With TLS 1.3 a client may update its keys at any time, which most
    ///   kernels cannot follow.
    /// - AES-GCM: every kernel with TLS has it. It also reads what it encrypts only once, which is necessary
    ///   because the kernel encrypts a disk's memory in place while clients may change it.
    /// - Records of 16 KiB: the kernel makes no shorter ones.
    /// - GnuTLS has read nothing ahead. It receives one record at a time, so it holds nothing right after the
    ///   handshake.
    var suitsKernel: Bool {
        let cipher = unsafe gnutls_cipher_get(pointer)
        return unsafe gnutls_protocol_get_version(pointer) == GNUTLS_TLS1_2
            && (cipher == GNUTLS_CIPHER_AES_128_GCM || cipher == GNUTLS_CIPHER_AES_256_GCM)
            && cgnutls_client_wants_short_records(pointer) == 0
            && gnutls_record_check_pending(pointer) == 0
    }

    private func useKernel(
        _ socket: SocketHandle, _ direction: RecordDirection
    ) throws(Errno) {
        var (nonce, key) = unsafe (gnutls_datum_t(), gnutls_datum_t())
        var sequence = [UInt8](repeating: 0, count: 8)
        let code = unsafe gnutls_record_get_state(
            pointer, direction == .receiving ? 1 : 0, nil, &nonce, &key, &sequence)
        guard code >= 0, unsafe nonce.size >= 4 else { throw .notSupported }
        // Sound: this is GnuTLS's own memory, which lives as long as the session.
        let bytes = unsafe UnsafeBufferPointer(start: key.data, count: Int(key.size))
        let salt = unsafe UnsafeBufferPointer(start: nonce.data, count: 4)
        try socket.useKernelTLS(
            direction, key: unsafe bytes.span.bytes, salt: unsafe salt.span.bytes,
            sequence: sequence)
    }
}
