internal import CLinux
internal import Glibc
package import LinuxIO
package import SystemPackage

/// A client at the other end of standard input and output.
package enum StandardStreams {
    /// The connection to the client.
    @frozen package struct Connection: ~Copyable, Sendable {
        /// The socket on which the server serves the client.
        package var socket: StreamSocket
        /// The threads that copy between the socket and, say, two pipes; nil when both directions are one
        /// socket, as inetd and sshd provide it.
        package let relay: StreamRelay?
    }

    /// Whether standard input or output is a terminal: a person uses it, not an NBD client. isatty(3)
    package static var areTerminal: Bool {
        isatty(STDIN_FILENO) == 1
            || isatty(STDOUT_FILENO) == 1 && !isStreamSocket(STDIN_FILENO)
    }

    /// Takes ownership of the streams. Later output to standard output is discarded, and so is output to
    /// standard error when that leads to the client.
    package static func take() throws(Errno) -> Connection {
        guard let input = FileIdentity(descriptor: STDIN_FILENO),
            let output = FileIdentity(descriptor: STDOUT_FILENO)
        else { throw .badFileDescriptor }
        let error = FileIdentity(descriptor: STDERR_FILENO)
        let isInputStreamSocket = isStreamSocket(STDIN_FILENO)
        let inputCopy = try duplicate(STDIN_FILENO)
        let outputCopy = try duplicate(STDOUT_FILENO)
        try redirectToNull(STDIN_FILENO)
        try redirectToNull(STDOUT_FILENO)
        if error == input || error == output { try redirectToNull(STDERR_FILENO) }
        // An inetd may provide the socket as standard input alone.
        if isInputStreamSocket, input == output || !output.isSocket {
            return Connection(socket: StreamSocket(inputCopy), relay: nil)
        }
        let pair = try StreamSocket.pair()
        let relay = try StreamRelay(input: inputCopy, output: outputCopy, socket: pair.second)
        return Connection(socket: pair.first, relay: relay)
    }

    /// socket(7), `SO_TYPE`
    private static func isStreamSocket(_ descriptor: CInt) -> Bool {
        SocketHandle(rawValue: descriptor).option(SO_TYPE) == CInt(SOCK_STREAM.rawValue)
    }

    /// Returns another descriptor of the same file, above the standard ones. fcntl(2), `F_DUPFD_CLOEXEC`
    private static func duplicate(_ descriptor: CInt) throws(Errno) -> Descriptor {
        let copy = Descriptor(
            adopting: try checkedErrno(fcntl(descriptor, F_DUPFD_CLOEXEC, 3)))
        // The process that had it before may have set O_NONBLOCK.
        SocketHandle(rawValue: copy.rawValue).setBlocking(true)
        return copy
    }

    /// Redirects a standard descriptor to /dev/null. Closing it instead would let the next file that is opened take its
    /// place. dup2(2)
    private static func redirectToNull(_ descriptor: CInt) throws(Errno) {
        let null = try Descriptor(opening: "/dev/null", .readWrite)
        try checkedErrno(dup2(null.rawValue, descriptor))
    }
}

/// Two threads that copy: from an input to a socket, and from the socket to an output.
///
/// The server receives and sends with lists of regions, which needs a socket. Any other stream is slower:
/// each byte is copied twice more, and each batch of requests wakes two more threads.
package final class StreamRelay: Sendable {
    private let input: Descriptor
    private let output: Descriptor
    private let socket: StreamSocket
    private let finished: EventFD

    /// Bytes to copy at a time: the capacity of a pipe.
    private static var chunk: Int { 64 << 10 }

    /// Starts the two threads.
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

    /// Waits until the socket's other end is closed and all that it sent has been written to the output, or
    /// the time is over.
    package func finish(milliseconds: Int) {
        _ = try? PollSource.poll([.event(finished)], milliseconds: milliseconds)
    }

    private func copyIn() {
        guard let buffer = try? MemoryMapping(privateBytes: Self.chunk) else {
            return socket.handle.shutdownSending()
        }
        while let count = try? input.read(into: buffer.region), count > 0 {
            guard isSent(buffer.region.slice(at: 0, count: count)) else { break }
        }
        socket.handle.shutdownSending()
    }

    private func isSent(_ region: MemoryRegion) -> Bool {
        var rest = region
        while rest.count > 0 {
            guard case .bytes(let count) = socket.handle.send(rest) else { return false }
            rest = rest.suffix(from: count)
        }
        return true
    }

    private func copyOut() {
        if let buffer = try? MemoryMapping(privateBytes: Self.chunk) {
            while case .bytes(let count) = socket.handle.receive(
                into: buffer.region, blocking: true)
            {
                let received = buffer.region.slice(at: 0, count: count)
                // A client that reads no replies gets no more.
                guard (try? writeAll(received, to: output.rawValue)) != nil else { break }
            }
        }
        socket.handle.shutdownBoth()
        finished.signal()
    }
}
