internal import LinuxIO
internal import CLinux
internal import Glibc
internal import SystemPackage

/// Two threads that copy: from an input to a socket, and from the socket to an output.
///
/// The slow way: each byte is copied twice more, and each batch wakes two threads more. What receives
/// and sends with a list of regions needs a socket, and a pipe is none.
package final class StreamRelay: Sendable {
    private let input: Descriptor
    private let output: Descriptor
    private let socket: StreamSocket
    private let finished: EventFD

    /// Bytes that are copied at a time: what a pipe holds.
    private static var chunk: Int { 64 << 10 }

    /// Starts copying.
    init(
        input: consuming Descriptor, output: consuming Descriptor, socket: consuming StreamSocket
    ) throws(Errno) {
        self.input = input
        self.output = output
        self.socket = socket
        finished = try EventFD()
        _ = try Thread(name: "relay-in") { self.copyIn() }
        _ = try Thread(name: "relay-out") { self.copyOut() }
    }

    /// Waits until the socket's other end is closed and all that came through it has been written, or
    /// the time is over.
    package func finish(milliseconds: Int) {
        _ = try? SocketHandle(rawValue: finished.descriptor.rawValue)
            .waitReadable(milliseconds: milliseconds)
    }

    private func copyIn() {
        var bytes = [UInt8](repeating: 0, count: Self.chunk)
        while true {
            let count = unsafe read(input.rawValue, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0, isSent(bytes.prefix(count)) else { break }
        }
        socket.handle.shutdownSending()
    }

    private func isSent(_ bytes: ArraySlice<UInt8>) -> Bool {
        unsafe move(bytes) { unsafe send(socket.handle.rawValue, $0, $1, CInt(MSG_NOSIGNAL)) }
    }

    private func copyOut() {
        var bytes = [UInt8](repeating: 0, count: Self.chunk)
        while true {
            let count = unsafe recv(socket.handle.rawValue, &bytes, bytes.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0, isWritten(bytes.prefix(count)) else { break }
        }
        // Who takes no replies gets no more.
        socket.handle.shutdownBoth()
        finished.signal()
    }

    private func isWritten(_ bytes: ArraySlice<UInt8>) -> Bool {
        unsafe move(bytes) { unsafe write(output.rawValue, $0, $1) }
    }

    /// Moves all bytes by a call that may move less; false when it fails.
    private func move(
        _ bytes: ArraySlice<UInt8>, _ call: (UnsafeRawPointer?, Int) -> Int
    ) -> Bool {
        unsafe bytes.withUnsafeBytes { buffer in
            var moved = 0
            while moved < buffer.count {
                let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[moved...])
                let count = unsafe call(rest.baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                moved += count
            }
            return true
        }
    }
}
