package import Observability
package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// What a trace is read for.
package struct TraceConfiguration: Sendable {
    /// Lines go here: a file, or "-" for standard output; nil for a summary alone.
    package var path: String?
    package var format: TraceFileFormat
    /// Disks of the summary; nil when none is wanted.
    package var summary: [DiskStats]?
    /// Whether standard output is for a person who likes colours.
    package var isColoured: Bool
    /// Characters in a line of the summary.
    package var width: Int

    package init(
        path: String? = nil, format: TraceFileFormat, summary: [DiskStats]? = nil, isColoured: Bool,
        width: Int
    ) {
        self.path = path
        self.format = format
        self.summary = summary
        self.isColoured = isColoured
        self.width = width
    }
}

/// One trace, from its first line to its last. One thread uses it.
package struct TraceSession: ~Copyable {
    private let plan: TraceConfiguration
    private let output: OutputFile
    private var format: any TraceFormat
    private var summary: TraceSummary?
    private var told: UInt64 = 0
    private var dropped: UInt64 = 0
    private var lastNanoseconds: UInt64 = 0

    /// Makes the file.
    package init(_ plan: TraceConfiguration) throws(Failure) {
        self.plan = plan
        let path = plan.path ?? "-"
        do throws(Errno) {
            output = try path == "-" ? OutputFile(standardOutput: ()) : OutputFile(creating: path)
        } catch {
            throw .cannotCreate("cannot write the trace to \(path): \(error)")
        }
        format =
            switch plan.format {
            case .iolog: FioLog(hasTimes: true)
            case .iolog2: FioLog(hasTimes: false)
            case .chrome: ChromeTrace()
            case .json, .text: TraceText(isColoured: plan.isColoured && path == "-")
            }
        if let disks = plan.summary {
            summary = TraceSummary(disks: disks.map { ($0.export, $0.sizeBytes) })
        }
    }

    /// Reads until the server has told all or somebody stops the stream, then tells the rest. What
    /// has come by then is told in any case.
    package consuming func run(_ stream: ControlStream) throws {
        defer { stream.stop() }
        do {
            var reader = TraceReader()
            while let piece = try stream.nextPiece() {
                var text: [UInt8] = []
                try reader.take(piece) { raw, line in
                    text += tell(line, raw)
                }
                try write(text)
            }
        } catch is ReaderGone {
            return
        } catch let failure as Failure where failure.kind == .unavailable {
            // The server is gone: what it told is whole, and so is the file.
            try? finish()
            throw failure
        }
        do {
            try finish()
        } catch is ReaderGone {}
    }

    /// Who read our standard output has seen enough, as `head` does.
    private struct ReaderGone: Error {}

    private mutating func tell(_ line: TraceLine, _ raw: ArraySlice<UInt8>) -> [UInt8] {
        var text = ""
        switch line {
        case .start(let start):
            text = format.begin(start)
        case .request(let event):
            told += 1
            lastNanoseconds = max(lastNanoseconds, event.timeNanoseconds)
            summary?.add(event)
            // Lines of JSON go on as they came.
            if plan.path != nil, plan.format != .json { text = format.request(event) }
        case .status(let status), .end(let status):
            let lost = status.droppedRequests - min(dropped, status.droppedRequests)
            dropped += lost
            summary?.lose(lost)
            if lost > 0 {
                text = format.lost(lost, at: max(lastNanoseconds, status.timeNanoseconds))
            }
        }
        guard plan.path != nil else { return [] }
        return plan.format == .json ? raw + [UInt8(ascii: "\n")] : Array(text.utf8)
    }

    private func write(_ bytes: [UInt8]) throws {
        guard !bytes.isEmpty else { return }
        do throws(Errno) {
            try output.write(bytes)
        } catch {
            if error == .brokenPipe { throw ReaderGone() }
            throw Failure.inputOutput(
                "cannot write the trace to \(plan.path ?? "-"), which ends in the middle now, after "
                    + "\(told) requests: \(error)")
        }
    }

    private mutating func finish() throws {
        if plan.path != nil, plan.format != .json { try write(Array(format.end().utf8)) }
        if let summary {
            let lines = SummaryText(summary: summary, width: plan.width).lines
            let text = lines.map { $0.text(coloured: plan.isColoured) + "\n" }.joined()
            standardOutput(text)
        }
        noteWhatIsMissing()
    }

    /// On standard error, for whoever has sent the rest elsewhere.
    private func noteWhatIsMissing() {
        if let path = plan.path, path != "-" {
            StandardError.say("\(told) requests written to \(path)")
        }
        if format.leftOut > 0 {
            StandardError.say(
                "\(format.leftOut) of them are left out: fio has no action for them, or they failed"
            )
        }
        if dropped > 0 {
            StandardError.say(
                "\(dropped) requests were lost: they came faster than they could be told")
        }
    }
}
