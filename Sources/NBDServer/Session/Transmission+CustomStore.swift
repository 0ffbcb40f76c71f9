internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// Requests to a custom store. All of this is outside the hot loop and outside its proof: a store may
/// allocate, lock and wait as it likes.
extension Transmission {
    /// Serves a request that the rules allow. Returns false, and serves nothing, when the disk can be served from its
    /// memory from now on.
    @_semantics("no_performance_analysis") @inline(never)
    mutating func serve(
        _ request: Request, from handle: StoreHandle
    ) throws(DisconnectReason) -> Bool {
        let session = handle.session
        if session.isOver {
            if !replies.isEmpty { try sendReplies() }
            session.release()
            return false
        }
        if replies.isEmpty { session.startOver() }
        switch request.command {
        case .read: try read(request, session)
        case .write: try write(request, session)
        case .trim, .writeZeroes: try zero(request, session)
        case .blockStatus: try blockStatus(request, session)
        case .flush:
            do throws(BlockStoreError) {
                try session.store.flush()
            } catch {
                try fail(request, error)
                return true
            }
            replies.append(doneWith: request)
        default:
            // CACHE: a store is not asked to read ahead.
            replies.append(doneWith: request)
        }
        return true
    }

    // MARK: - Reading

    private mutating func read(
        _ request: Request, _ session: StoreSession
    ) throws(DisconnectReason) {
        if format == .simple || request.flags.contains(.dontFragment) {
            try readInOnePiece(request, session)
        } else {
            try readInChunks(request, session)
        }
    }

    /// Reads everything before the reply begins: once its header is sent, a simple reply cannot become an
    /// error.
    private mutating func readInOnePiece(
        _ request: Request, _ session: StoreSession
    ) throws(DisconnectReason) {
        let count = Int(request.length)
        let data: MemoryRegion
        if count <= StoreSession.capacity {
            data = try room(count, session)
        } else {
            if !replies.isEmpty { try sendReplies(session) }
            do throws(Errno) {
                data = try session.makeLargeRoom(count)
            } catch {
                return try fail(request, .noMemory())
            }
        }
        do throws(BlockStoreError) {
            try session.read(at: request.offset, into: data)
        } catch {
            return try fail(request, error)
        }
        // All of the buffer when there is more than that: then nothing else fits until it is sent.
        session.keep(min(count, StoreSession.capacity))
        replies.append(
            dataAt: request.offset, count: request.length, isLast: true, answering: request)
        replies.append(data: data)
    }

    /// Sends a chunk for each extent and each piece: a hole where the store says that bytes are zero. An error
    /// becomes the last chunk.
    private mutating func readInChunks(
        _ request: Request, _ session: StoreSession
    ) throws(DisconnectReason) {
        var offset = request.offset
        var left = request.length
        while left > 0 {
            if replies.isFull { try sendReplies(session) }
            let extent: Extent
            do throws(BlockStoreError) {
                extent = try session.firstExtent(at: offset, count: left)
            } catch {
                return try fail(request, error)
            }
            guard !extent.status.contains(.zero) else {
                left -= extent.length
                replies.append(
                    holeAt: offset, count: extent.length, isLast: left == 0, answering: request)
                offset += extent.length
                continue
            }
            let count = min(extent.length, UInt64(StoreSession.capacity))
            let data = try room(Int(count), session)
            do throws(BlockStoreError) {
                try session.read(at: offset, into: data)
            } catch {
                return try fail(request, error)
            }
            session.keep(data.count)
            left -= count
            replies.append(
                dataAt: offset, count: count, isLast: left == 0, answering: request)
            replies.append(data: data)
            offset += count
        }
    }

    // MARK: - Writing

    /// Receives a payload piece by piece, and writes each piece when it is there.
    private mutating func write(
        _ request: Request, _ session: StoreSession
    ) throws(DisconnectReason) {
        var offset = request.offset
        var left = request.length
        while left > 0 {
            let count = min(left, UInt64(StoreSession.capacity))
            let piece = try room(Int(count), session)
            try receivePayload(piece)
            left -= count
            if mustCheckSiblings { try awaitSiblings() }
            do throws(BlockStoreError) {
                try session.write(piece, at: offset)
            } catch {
                try drain(Int(left))
                return try fail(request, error)
            }
            offset += count
        }
        try finish(request, session)
    }

    private mutating func receivePayload(_ target: MemoryRegion) throws(DisconnectReason) {
        let arrived = min(input.count, target.count)
        target.slice(at: 0, count: arrived).copy(from: input.peek(arrived))
        input.take(arrived)
        if arrived < target.count { try receive(target.suffix(from: arrived)) }
    }

    /// Zeroes or discards, and returns between two pieces when the server is stopped.
    private mutating func zero(
        _ request: Request, _ session: StoreSession
    ) throws(DisconnectReason) {
        if mustCheckSiblings { try awaitSiblings() }
        var options: ZeroOptions = []
        if request.flags.contains(.noHole) { options.insert(.keepsSpace) }
        if request.flags.contains(.fastZero) { options.insert(.fast) }
        var offset = request.offset
        var left = request.length
        while left > 0 {
            if stop.isSet {
                isStopping = true
                return try refuse(request, .shuttingDown)
            }
            let count = min(left, StoreSession.longestZeroing)
            let range = offset..<offset + count
            do throws(BlockStoreError) {
                if request.command == .trim {
                    try session.store.discard(range)
                } else {
                    try session.store.zero(range, options: options)
                }
            } catch {
                return try fail(request, error)
            }
            offset += count
            left -= count
        }
        try finish(request, session)
    }

    /// Ends a request that has changed something: with FUA it is persistent first.
    private mutating func finish(
        _ request: Request, _ session: StoreSession
    ) throws(DisconnectReason) {
        if request.flags.contains(.forceUnitAccess) {
            do throws(BlockStoreError) {
                try session.store.flush()
            } catch {
                return try fail(request, error)
            }
        }
        // The payload may have taken long, and replies may have been sent and added since.
        if replies.isFull { try sendReplies(session) }
        replies.append(doneWith: request)
    }

    // MARK: - Block status

    /// Reports the extents of a range in each context, as many as there is room for; an error only if a context has
    /// none before it.
    private mutating func blockStatus(
        _ request: Request, _ session: StoreSession
    ) throws(DisconnectReason) {
        if replies.isFull { try sendReplies(session) }
        var rest = contexts
        while !rest.isEmpty {
            let context = rest.removeFirst()
            var extents = replies.makeExtentList(outOf: rest.count + 1)
            do throws(BlockStoreError) {
                try fill(&extents, for: request, in: context, session)
            } catch {
                return try fail(request, error)
            }
            replies.append(extents, in: context, isLast: rest.isEmpty, answering: request)
        }
    }

    private func fill(
        _ extents: inout ExtentList, for request: Request, in context: Int, _ session: StoreSession
    ) throws(BlockStoreError) {
        var offset = request.offset
        var left = request.length
        while left > 0, extents.hasRoom {
            do throws(BlockStoreError) {
                let extent = try session.firstExtent(at: offset, count: left, in: context)
                extents.append(extent)
                if request.flags.contains(.requestOne) { return }
                offset += extent.length
                left -= extent.length
            } catch {
                if extents.count == 0 { throw error }
                return
            }
        }
    }

    // MARK: - Replies

    /// Returns free memory of the session's buffer; sends the replies that lie there if there is too little.
    private mutating func room(
        _ count: Int, _ session: StoreSession
    ) throws(DisconnectReason) -> MemoryRegion {
        if let room = session.room(count) { return room }
        try sendReplies(session)
        guard let room = session.room(count) else {
            preconditionFailure("a transfer is longer than the buffer")
        }
        return room
    }

    private mutating func sendReplies(_ session: StoreSession) throws(DisconnectReason) {
        try sendReplies()
        session.startOver()
    }

    /// Sends the store's error to the client. The caller has received or drained a WRITE's payload.
    private mutating func fail(
        _ request: Request, _ error: BlockStoreError
    ) throws(DisconnectReason) {
        if replies.isFull { try sendReplies() }
        // Zero would mean success.
        let code = error.code == .none ? WireError.inputOutput : error.code
        meter.recordError(code)
        replies.append(error: code, message: error.message, of: request)
    }
}
