package import ProgramSupport
package import LinuxIO
internal import Synchronization
internal import SystemPackage

/// A request that was sent, and its answer, which one thread reads; any thread may end it.
package final class ControlStream: Sendable {
    /// Bytes that are received at a time.
    private static let bufferSize = 256 << 10

    private let socket: StreamSocket
    private let buffer: MemoryMapping
    private let path: String
    private let target: String
    private let isStopped = Atomic<Bool>(false)
    private let reader = Mutex(HTTPResponseReader())

    /// Sends the request.
    package init(_ socket: consuming StreamSocket, path: String, target: String) throws(Failure) {
        self.path = path
        self.target = target
        self.socket = socket
        do throws(Errno) {
            buffer = try MemoryMapping(privateBytes: Self.bufferSize)
        } catch {
            throw .system("there is no memory for what the server says: \(error)")
        }
        try send("GET \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    }

    private func send(_ text: String) throws(Failure) {
        let bytes = Array(text.utf8)
        let region = buffer.region.slice(at: 0, count: bytes.count)
        region.copy(from: bytes)
        // Far less than a socket's buffer takes: it is sent whole or not at all.
        guard case .bytes(bytes.count) = socket.handle.send(region) else { throw gone }
    }

    /// Makes ``nextPiece()`` fail when nothing comes for so long.
    package func limitPatience(milliseconds: Int) {
        socket.handle.setReceiveTimeout(milliseconds: milliseconds)
    }

    /// Ends the answer: whoever waits in ``nextPiece()`` gets nil. Safe from any thread.
    package func stop() {
        isStopped.store(true, ordering: .releasing)
        socket.handle.shutdownBoth()
    }

    /// The next bytes of the answer's body, at least one; nil at its end. It blocks.
    package func nextPiece() throws(Failure) -> [UInt8]? {
        var body: [UInt8] = []
        while body.isEmpty, !reader.withLock({ $0.isComplete }) {
            switch socket.handle.receive(into: buffer.region, blocking: true) {
            case .bytes(let count):
                try take(buffer.region.slice(at: 0, count: count).bytes, into: &body)
            case .wouldBlock:
                throw .unavailable("the server at \(path) says nothing; is it stuck?")
            case .endOfStream, .failed:
                if isStopped.load(ordering: .acquiring) { return nil }
                guard reader.withLock({ $0.endsWithConnection }) else { throw gone }
                return nil
            }
        }
        try checkStatus(body)
        return body.isEmpty ? nil : body
    }

    private func take(_ bytes: [UInt8], into body: inout [UInt8]) throws(Failure) {
        let problem = reader.withLock { reader -> HTTPResponseReader.Malformed? in
            do throws(HTTPResponseReader.Malformed) {
                try reader.take(bytes[...], into: &body)
                return nil
            } catch {
                return error
            }
        }
        if let problem {
            throw .protocolError(
                "\(path) answers with something that is not HTTP: \(problem.reason)")
        }
    }

    /// A refusal comes with a line that says why.
    private func checkStatus(_ body: [UInt8]) throws(Failure) {
        guard let status = reader.withLock({ $0.status }), status != 200 else { return }
        let reason = String(decoding: body, as: UTF8.self).split(separator: "\n").first ?? ""
        let sentence = "the server at \(path) refuses \(target): \(status) \(reason)"
        throw status == 400 ? .usage(sentence) : .unavailable(sentence)
    }

    private var gone: Failure { .unavailable("the server at \(path) is gone") }
}
