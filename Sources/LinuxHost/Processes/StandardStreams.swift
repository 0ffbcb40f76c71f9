package import LinuxIO
internal import CLinux
internal import Glibc
package import SystemPackage

/// A client at the other end of standard input and output.
package enum StandardStreams {
    /// The client that was there.
    @frozen package struct Connection: ~Copyable, Sendable {
        /// How to talk to it.
        package var socket: StreamSocket
        /// What stands between the socket and two pipes, say; nil for one socket in both directions, as
        /// inetd and sshd have it.
        package let relay: StreamRelay?
    }

    /// Whether a person sits there, who does not speak NBD. isatty(3)
    package static var areTerminal: Bool {
        isatty(STDIN_FILENO) == 1
            || isatty(STDOUT_FILENO) == 1 && (try? Identity(STDIN_FILENO))?.isStreamSocket != true
    }

    /// Takes them over. What is written to standard output from then on goes nowhere, and what is
    /// written to standard error too if that leads to the client.
    package static func take() throws(Errno) -> Connection {
        let input = try Identity(STDIN_FILENO)
        let output = try Identity(STDOUT_FILENO)
        let isErrorTheirs = (try? Identity(STDERR_FILENO)).map { $0 == input || $0 == output }
        let inputCopy = try duplicate(STDIN_FILENO)
        let outputCopy = try duplicate(STDOUT_FILENO)
        try silence(STDIN_FILENO)
        try silence(STDOUT_FILENO)
        if isErrorTheirs == true { try silence(STDERR_FILENO) }
        // An inetd may give the socket as standard input alone.
        if input.isStreamSocket, input == output || !output.isSocket {
            return Connection(socket: StreamSocket(inputCopy), relay: nil)
        }
        let pair = try StreamSocket.pair()
        let relay = try StreamRelay(input: inputCopy, output: outputCopy, socket: pair.second)
        return Connection(socket: pair.first, relay: relay)
    }

    /// What a descriptor leads to. fstat(2)
    private struct Identity: Equatable {
        let device: dev_t
        let file: ino_t
        let isSocket: Bool
        let isStreamSocket: Bool

        init(_ number: CInt) throws(Errno) {
            var status = stat()
            try checkedErrno(unsafe fstat(number, &status))
            device = status.st_dev
            file = status.st_ino
            isSocket = status.st_mode & S_IFMT == S_IFSOCK
            var kind: CInt = 0
            let result = unsafe clinux_get_option(number, SOL_SOCKET, SO_TYPE, &kind)
            isStreamSocket = result == 0 && kind == CInt(SOCK_STREAM.rawValue)
        }
    }

    /// fcntl(2), `F_DUPFD_CLOEXEC`
    private static func duplicate(_ number: CInt) throws(Errno) -> Descriptor {
        let copy = Descriptor(adopting: try checked(clinux_duplicate(number)))
        // Whoever had it before may have used it without waiting.
        SocketHandle(rawValue: copy.rawValue).setBlocking(true)
        return copy
    }

    /// Has a descriptor lead nowhere, rather than be free for the next file. dup2(2)
    private static func silence(_ number: CInt) throws(Errno) {
        let nowhere = Descriptor(
            adopting: try checkedErrno(unsafe open("/dev/null", O_RDWR | O_CLOEXEC)))
        try checkedErrno(dup2(nowhere.rawValue, number))
    }
}
