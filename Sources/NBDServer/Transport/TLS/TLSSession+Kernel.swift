internal import CGnuTLS
internal import LinuxIO
internal import SystemPackage

/// Who encrypts and decrypts after the handshake.
enum RecordLayer {
    /// The library, through the buffers of a ``TLSStream``.
    case library
    /// The kernel, as the library has arranged it.
    case kernelByLibrary
    /// The kernel, as arranged here.
    case kernel

    /// Whether it is the kernel.
    var isKernel: Bool {
        if case .library = self { false } else { true }
    }
}

extension TLSSession {
    /// Has the kernel do the records if it can, and says who does them.
    ///
    /// The library does so by itself if it was built for that and its configuration wants it. Otherwise
    /// it is done here, where ``suitsKernel``.
    func handToKernel(_ socket: SocketHandle) throws(TLSFailure) -> RecordLayer {
        if unsafe cgnutls_kernel_does_records(pointer) != 0 { return .kernelByLibrary }
        guard suitsKernel else { return .library }
        do throws(Errno) {
            // Until it has keys, the socket is as it was.
            try socket.attachKernelTLS()
            try useKernel(socket, .receiving)
        } catch {
            return .library
        }
        do throws(Errno) {
            try useKernel(socket, .sending)
        } catch {
            throw TLSFailure(
                "the kernel took the keys of one direction, and not of the other: \(error)")
        }
        return .kernel
    }

    /// Whether the kernel can go on with this session to its end.
    ///
    /// - TLS 1.2: its keys never change. With TLS 1.3 clients change them unasked, which most kernels
    ///   cannot follow.
    /// - AES-GCM: all kernels with TLS have it. It also looks once at what it encrypts, as it has to
    ///   where the kernel encrypts a disk's memory in place and clients change that meanwhile.
    /// - Records of 16 KiB: the kernel makes no shorter ones.
    /// - Nothing has been read ahead. The library takes record by record off the socket, so there is
    ///   nothing while it shakes hands only.
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
        // Sound: the library shows its own memory, which stays as long as the session.
        let bytes = unsafe UnsafeBufferPointer(start: key.data, count: Int(key.size))
        let salt = unsafe UnsafeBufferPointer(start: nonce.data, count: 4)
        try socket.useKernelTLS(
            direction, key: unsafe bytes.span.bytes, salt: unsafe salt.span.bytes,
            sequence: sequence)
    }
}
