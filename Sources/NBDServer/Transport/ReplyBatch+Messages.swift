internal import LinuxIO
internal import NBDProtocol

/// The server's replies, in the header format that was negotiated. The batch must not be full.
extension ReplyBatch {
    /// Appends a success without data. With structured replies this is a simple reply, too, which is shorter; with
    /// extended headers there is no such choice.
    @inline(__always)
    mutating func append(doneWith request: Request) {
        if format == .extended {
            append(ReplyChunk(.none, isLast: true, answering: request, length: 0))
        } else {
            append(SimpleReply(cookie: request.cookie))
        }
    }

    /// Appends the header of a READ's data, or of a part of it: the `count` bytes from an offset on that the caller
    /// appends next.
    @inline(__always)
    mutating func append(
        dataAt offset: UInt64, count: UInt64, isLast: Bool, answering request: Request
    ) {
        guard format != .simple else { return append(SimpleReply(cookie: request.cookie)) }
        let header = ReplyChunk(.offsetData, isLast: isLast, answering: request, length: 8 &+ count)
        var bytes = append(header, content: 8).mutableSpan
        bytes.store(bigEndian: offset, at: format.chunkHeaderSize)
    }

    /// Appends a hole: `count` zero bytes from an offset on.
    mutating func append(
        holeAt offset: UInt64, count: UInt64, isLast: Bool, answering request: Request
    ) {
        let header = ReplyChunk(.offsetHole, isLast: isLast, answering: request, length: 12)
        var bytes = append(header, content: 12).mutableSpan
        bytes.store(bigEndian: offset, at: format.chunkHeaderSize)
        bytes.store(bigEndian: UInt32(count), at: format.chunkHeaderSize + 8)
    }

    /// Appends an error. A chunk carries the reason as text and, if the range leaves the export, the offset where it
    /// does. A range that reaches 2^64 gets no offset: libnbd 1.14 computes the end of the range in 64 bits, considers
    /// the offset outside, and closes the connection.
    ///
    /// Not analysed: the compiler cannot see that the text is a constant.
    @_semantics("no_performance_analysis") @inline(never)
    mutating func append(fault: RequestError, of request: Request, exportSize: UInt64) {
        let error = fault.error(for: request.command)
        guard format != .simple else {
            return append(SimpleReply(error: error, cookie: request.cookie))
        }
        let text = fault.explanation
        let textLength = text.utf8CodeUnitCount
        let (_, reachesLimit) = request.offset.addingReportingOverflow(request.length)
        let hasOffset = fault == .beyondEnd && !reachesLimit
        let content = 6 + textLength + (hasOffset ? 8 : 0)
        let header = ReplyChunk(
            hasOffset ? .errorOffset : .error, isLast: true, answering: request,
            length: UInt64(content))
        let slot = append(header, content: content)
        var bytes = slot.suffix(from: format.chunkHeaderSize).mutableSpan
        bytes.store(bigEndian: error.rawValue, at: 0)
        bytes.store(bigEndian: UInt16(textLength), at: 4)
        text.withUTF8Buffer { text in
            // Sound: the index stays below the buffer's own count.
            for index in 0..<textLength {
                unsafe bytes.storeBytes(of: text[index], toByteOffset: 6 + index, as: UInt8.self)
            }
        }
        if hasOffset {
            bytes.store(bigEndian: max(request.offset, exportSize), at: 6 + textLength)
        }
    }

    /// Appends a custom store's error; in a chunk with as much of its message as fits.
    mutating func append(error: WireError, message: String, of request: Request) {
        guard format != .simple else {
            return append(SimpleReply(error: error, cookie: request.cookie))
        }
        var text: [UInt8] = []
        for character in message {
            let bytes = character.utf8
            if text.count + bytes.count > RequestError.longestExplanation { break }
            text += bytes
        }
        let content = 6 + text.count
        let header = ReplyChunk(
            .error, isLast: true, answering: request, length: UInt64(content))
        let slot = append(header, content: content)
        var bytes = slot.suffix(from: format.chunkHeaderSize).mutableSpan
        bytes.store(bigEndian: error.rawValue, at: 0)
        bytes.store(bigEndian: UInt16(text.count), at: 4)
        slot.suffix(from: format.chunkHeaderSize + 6).copy(from: text)
    }

    /// Returns an empty list of extents in the batch's memory, of which it gets a part so that as many lists fit.
    /// The caller must append it before anything else.
    func makeExtentList(outOf lists: Int) -> ExtentList {
        let start = format.chunkHeaderSize + Extent.prefixSize(format)
        let end = untaken.count / lists
        return ExtentList(memory: untaken.slice(at: start, count: end - start), format: format)
    }

    /// Appends the extents that a BLOCK_STATUS asked for in a context, by its index in the export's list.
    mutating func append(
        _ extents: ExtentList, in context: Int, isLast: Bool, answering request: Request
    ) {
        let content = Extent.prefixSize(format) + extents.byteCount
        let header = ReplyChunk(
            format == .extended ? .blockStatusExtended : .blockStatus, isLast: isLast,
            answering: request, length: UInt64(content))
        var bytes = append(header, content: content).mutableSpan
        bytes.store(
            bigEndian: MetadataContext.identifier(at: context), at: format.chunkHeaderSize)
        if format == .extended {
            bytes.store(bigEndian: UInt32(extents.count), at: format.chunkHeaderSize + 4)
        }
    }

    @inline(__always)
    private mutating func append(_ reply: SimpleReply) {
        var bytes = take(SimpleReply.encodedSize).mutableSpan
        reply.encode(into: &bytes)
    }

    @inline(__always)
    private mutating func append(_ chunk: ReplyChunk) {
        _ = append(chunk, content: 0)
    }

    /// Appends a chunk's header with `content` bytes behind it, which the caller fills.
    @inline(__always)
    private mutating func append(_ chunk: ReplyChunk, content: Int) -> MemoryRegion {
        let slot = take(format.chunkHeaderSize &+ content)
        var bytes = slot.mutableSpan
        chunk.encode(into: &bytes, as: format)
        return slot
    }
}
