internal import DiskImages
internal import LinuxIO
package import NBDServer
package import Observability
package import ProgramSupport
internal import Synchronization

/// A disk that a server sends in the format of ``SentDisk``. It can be read once, from its start to its end.
package final class ReceivedDisk: BlockStore {
    package let size: UInt64
    /// The bytes that may hold data.
    let allocatedBytes: UInt64
    private let state: Mutex<State>

    private struct State {
        let source: () throws(Failure) -> [UInt8]?
        /// The received bytes that are not read yet begin at `start`.
        var pending: [UInt8] = []
        var start = 0
        /// The rest of the present run.
        var run: Range<UInt64> = 0..<0
        /// Bytes of data that the server may still send. The receiver has memory for no more.
        var allowed: UInt64 = 0
        var failure: Failure?

        /// Returns the next bytes of the stream, at most `count`; empty at its end.
        mutating func take(atMost count: Int) throws(Failure) -> ArraySlice<UInt8> {
            if start == pending.count {
                pending = try source() ?? []
                start = 0
            }
            let end = min(pending.count, start + count)
            defer { start = end }
            return pending[start..<end]
        }

        mutating func word() throws(Failure) -> UInt64 {
            var word: UInt64 = 0
            for shift in 0..<8 {
                guard let byte = try take(atMost: 1).first else {
                    throw .unavailable("the server has not sent all of the disk; its log says why")
                }
                word |= UInt64(byte) << UInt64(shift * 8)
            }
            return word
        }

        /// Sets `run` to the rest of the present run or, at its end, to the next run.
        mutating func advance(size: UInt64) throws(Failure) {
            guard run.isEmpty, run.lowerBound < size else { return }
            let offset = try word()
            let count = try word()
            guard offset >= run.upperBound, offset <= size, count <= size - offset,
                count > 0 || offset == size
            else {
                throw .protocolError("the server has sent a run of data that is not on the disk")
            }
            guard count <= allowed else {
                throw .protocolError("the server has sent more data than it has announced")
            }
            allowed -= count
            run = offset..<offset + count
        }
    }

    /// Receives the beginning of the stream.
    ///
    /// - Parameter source: returns the next bytes of it; nil at its end.
    package init(from source: sending @escaping () throws(Failure) -> [UInt8]?) throws(Failure) {
        var state = State(source: source)
        size = try state.word()
        allocatedBytes = try state.word()
        state.allowed = allocatedBytes
        guard size < 1 << 63 else {
            throw .protocolError("the server has sent a disk of \(size) bytes")
        }
        self.state = Mutex(state)
    }

    package func firstExtent(of range: Range<UInt64>) throws(BlockStoreError) -> Extent {
        try withState { (state) throws(Failure) in
            try state.advance(size: size)
            let isData = state.run.contains(range.lowerBound)
            let end = isData ? state.run.upperBound : state.run.lowerBound
            let length = min(range.upperBound, max(end, range.lowerBound + 1)) - range.lowerBound
            return Extent(length: length, status: isData ? .data : [.hole, .zero])
        }
    }

    package func read(
        at offset: UInt64, into buffer: inout MutableSpan<UInt8>
    ) throws(BlockStoreError) {
        var done = 0
        while done < buffer.count {
            let wanted = buffer.count - done
            let piece = try withState { (state) throws(Failure) in
                try state.advance(size: size)
                guard state.run.lowerBound == offset + UInt64(done), !state.run.isEmpty else {
                    throw .protocolError("the disk that the server sends is read out of its order")
                }
                let piece = try state.take(atMost: min(wanted, state.run.count))
                guard !piece.isEmpty else {
                    throw .unavailable("the server has not sent all of the disk; its log says why")
                }
                state.run = state.run.lowerBound + UInt64(piece.count)..<state.run.upperBound
                return piece
            }
            for byte in piece {
                buffer[done] = byte
                done += 1
            }
        }
    }

    package func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(BlockStoreError) {
        throw .notPermitted()
    }

    private func withState<Value: Sendable>(
        _ body: (inout State) throws(Failure) -> Value
    ) throws(BlockStoreError) -> Value {
        let result = state.withLock { state -> Result<Value, Failure> in
            do throws(Failure) {
                return .success(try body(&state))
            } catch {
                state.failure = error
                return .failure(error)
            }
        }
        switch result {
        case .success(let value): return value
        case .failure(let failure): throw .inputOutput(failure.sentence)
        }
    }

    /// Copies the disk to a template for clones.
    package func makeTemplate() throws(Failure) -> DiskTemplate {
        do throws(DiskTemplate.CopyError) {
            return try DiskTemplate(copying: self, data: allocatedBytes)
        } catch {
            switch error {
            case .noDisk(let error): throw .system("\(error)")
            case .unreadable(let error): throw failure ?? .system("\(error)")
            }
        }
    }

    /// Saves the disk to a file that is not the image of a running server.
    package func save(to path: String, export: String) throws(Failure) -> SaveStats {
        do throws(Failure) {
            return try SavedDisk.save(self, dataBytes: allocatedBytes, to: path, export: export)
        } catch {
            // Report the error of the connection: that the disk cannot be read says less.
            throw failure ?? error
        }
    }

    /// What has failed of the connection: the reason why the disk cannot be read.
    private var failure: Failure? { state.withLock(\.failure) }
}
