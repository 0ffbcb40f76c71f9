package import LinuxHost
internal import LinuxIO
package import ProgramSupport
internal import Synchronization
internal import SystemPackage

/// One request to a control socket and its response. One thread reads the response; any thread may
/// call ``stop()``.
package final class ControlStream: Sendable {
    /// Maximum number of bytes in one receive.
    private static let bufferSize = 256 << 10

    private let socket: StreamSocket
    private let buffer: MemoryMapping
    private let path: String
    private let option: String
    private let target: String
    private let isStopped = Atomic<Bool>(false)
    private let reader = Mutex(HTTPResponseReader())

    /// Sends the request.
    init(
        _ socket: consuming StreamSocket, path: String, option: String, method: String,
        target: String
    ) throws(Failure) {
        self.path = path
        self.option = option
        self.target = target
        self.socket = socket
        do throws(Errno) {
            buffer = try MemoryMapping(privateBytes: Self.bufferSize)
        } catch {
            throw .system("cannot allocate \(Self.bufferSize) bytes to receive in: \(error)")
        }
        try send("\(method) \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    }

    private func send(_ text: String) throws(Failure) {
        let bytes = Array(text.utf8)
        let region = buffer.region.slice(at: 0, count: bytes.count)
        region.copy(from: bytes)
        // The request is far smaller than the socket's buffer, so the kernel sends all of it or
        // nothing.
        guard case .bytes(bytes.count) = socket.handle.send(region) else { throw disconnected }
    }

    /// Makes ``nextPiece()`` fail when the server sends nothing for this time.
    func setReceiveTimeout(milliseconds: Int) {
        socket.handle.setReceiveTimeout(milliseconds: milliseconds)
    }

    /// Ends the response: a thread that waits in ``nextPiece()`` returns nil from it. Any thread
    /// may call this.
    package func stop() {
        isStopped.store(true, ordering: .releasing)
        socket.handle.shutdownBoth()
    }

    /// Starts threads that end the response at a signal, and after a time. nil: no limit.
    package func stop(on signals: SignalWaiter, after limit: Duration?) throws(Failure) {
        do throws(Errno) {
            try signals.handle { _ in self.stop() }
            guard let limit else { return }
            _ = try Thread(name: "duration") {
                Thread.sleep(milliseconds: limit.wholeMilliseconds)
                self.stop()
            }
        } catch {
            throw .system("cannot start a thread: \(error)")
        }
    }

    /// Waits for the next bytes of the body and returns at least one, or nil at its end.
    package func nextPiece() throws(Failure) -> [UInt8]? {
        var body: [UInt8] = []
        while body.isEmpty, !reader.withLock({ $0.isComplete }) {
            switch socket.handle.receive(into: buffer.region, blocking: true) {
            case .bytes(let count):
                try parse(buffer.region.slice(at: 0, count: count).bytes, into: &body)
            case .wouldBlock:
                throw .unavailable(
                    "the server at \(path) does not respond; check whether it is stuck or stopped")
            case .endOfStream, .failed:
                if isStopped.load(ordering: .acquiring) { return nil }
                guard reader.withLock({ $0.endsWithConnection }) else { throw disconnected }
                return nil
            }
        }
        try checkStatus(body)
        return body.isEmpty ? nil : body
    }

    private func parse(_ bytes: [UInt8], into body: inout [UInt8]) throws(Failure) {
        let problem = reader.withLock { reader -> HTTPResponseReader.Malformed? in
            do throws(HTTPResponseReader.Malformed) {
                try reader.parse(bytes[...], into: &body)
                return nil
            } catch {
                return error
            }
        }
        if let problem {
            throw .protocolError(
                "the response from \(path) is not valid HTTP: \(problem.reason); "
                    + "give a server's control socket with \(option)")
        }
    }

    /// Throws when the status is not 200. The body of an error is one line with the reason.
    private func checkStatus(_ body: [UInt8]) throws(Failure) {
        let (received, exitCode) = reader.withLock { ($0.status, $0.exitCode) }
        guard let status = received, status != 200 else { return }
        let reason = String(decoding: body, as: UTF8.self).split(separator: "\n").first ?? ""
        if let exitCode { throw Failure(Failure.Kind(rawValue: exitCode), "\(reason)") }
        // The reason is a sentence; the server has understood the request, and refuses it.
        if status == 409 { throw .unavailable("\(reason)") }
        let sentence = "the server at \(path) rejected \(target): \(status) \(reason)"
        throw status == 400 ? .usage(sentence) : .unavailable(sentence)
    }

    private var disconnected: Failure {
        .unavailable("the server at \(path) closed the connection; it has stopped or is stopping")
    }
}
