// `nbd-load run`, which is also what `nbd-load` alone means.

internal import ArgumentParser
internal import LinuxIO
internal import NBDProtocol

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put load on a server, and tell rate, bandwidth and latency.",
        discussion: """
            A trim or a write changes what the export contains, and so does --verify. With --verify \
            every block is written first, then the load checks what it reads, and at the end every \
            block is read once more: exit status 1, and what was wrong, if one is not as written.
            """)

    @Argument(
        help: "nbd://HOST[:PORT]/[EXPORT] or nbd+unix:///[EXPORT]?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    @Option(name: .long, help: "What the requests do.")
    var workload = Workload.read

    @Option(name: .long, help: ArgumentHelp("Reads of a mixed load.", valueName: "percent"))
    var readPercent = 70

    @Flag(name: .long, help: "One block after the other, instead of at random.")
    var sequential = false

    @Option(name: .long, help: ArgumentHelp("Bytes of a request.", valueName: "size"))
    var blockSize = ByteCount(4096)

    @Option(
        name: .long,
        help: ArgumentHelp("Requests in flight on each connection.", valueName: "count"))
    var depth = 128

    @Option(name: .long, help: "The messages to speak; the server has to know them.")
    var replies = Replies.simple

    @Option(
        name: .long,
        help: ArgumentHelp("Use only so much of the export, from its start.", valueName: "size"))
    var range: ByteCount?

    @Flag(name: .long, help: "Check that what is read is what was written.")
    var verify = false

    @Flag(name: .long, help: "Look for replies all the time instead of sleeping until they come.")
    var spin = false

    @Option(
        name: .long,
        help: ArgumentHelp("Bytes of the buffer that replies arrive in.", valueName: "size"))
    var receiveBuffer = ByteCount(256 << 10)

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Ask the kernel for a send buffer of this size. (default: the system's)",
            valueName: "size"))
    var sendBuffer: ByteCount?

    @OptionGroup var measuring: Measuring
    @OptionGroup var binding: Binding

    func validate() throws {
        try check((1...4096).contains(depth), "--depth has to be from 1 to 4096")
        try check((0...100).contains(readPercent), "--read-percent has to be from 0 to 100")
        try check(
            (1...64 << 20).contains(blockSize.bytes), "--block-size has to be from 1 to 64M")
        try check(
            (4096...1 << 30).contains(receiveBuffer.bytes),
            "--receive-buffer has to be from 4K to 1G")
        try check(
            !verify || (blockSize.bytes >= 512 && blockSize.bytes.isMultiple(of: 512)),
            "--verify needs a --block-size that is a multiple of 512")
    }

    private func check(_ isRight: Bool, _ rule: String) throws {
        guard isRight else { throw ValidationError("\(rule).") }
    }

    func run() throws {
        try binding.apply()
        var clients: [Client] = []
        for _ in 0..<measuring.connections { clients.append(try Client(uri, replies.format)) }
        for client in clients {
            if let sendBuffer { client.socket.handle.setSendBuffer(bytes: sendBuffer.bytes) }
        }
        let plans = try makePlans(clients[0].export)
        // Tells this run's blocks from those of an earlier one.
        let runNumber = MonotonicTime.now().nanoseconds << 8
        let figures = try runInThreads(
            zip(clients, plans).map { LoadWork(client: $0, plan: $1, runNumber: runNumber) })
        let report = Report(
            lines: headLines + figures.reportLines(blockSize: blockSize.bytes)
                + tailLines(figures))
        print(measuring.json ? report.json : report.text)
    }

    // MARK: - Plans

    private func makePlans(_ export: RemoteExport) throws(Failure) -> [LoadConfiguration] {
        try checkExport(export)
        let bytes = min(export.size, UInt64(range?.bytes ?? .max))
        let blocks = Int(bytes / UInt64(blockSize.bytes))
        guard blocks > 0 else { throw Failure("the export is smaller than --block-size") }
        guard !verify || blocks / measuring.connections >= depth else {
            throw Failure("--verify needs at least --depth blocks for each connection")
        }
        return (0..<measuring.connections).map { index in
            let share =
                blocks * index / measuring.connections..<blocks * (index + 1)
                / measuring.connections
            var plan = LoadConfiguration()
            plan.workload = workload
            plan.readPercent = readPercent
            plan.isSequential = sequential
            plan.format = replies.format
            plan.blockSize = blockSize.bytes
            plan.depth = depth
            plan.blocks = verify ? share : 0..<blocks
            plan.firstBlock = share.lowerBound
            plan.warmupNanoseconds = measuring.warmupNanoseconds
            plan.nanoseconds = measuring.nanoseconds
            plan.isVerifying = verify
            plan.isSpinning = spin
            plan.seed = UInt64(index + 1)
            plan.receiveBuffer = receiveBuffer.bytes
            return plan
        }
    }

    /// What the export can do, before it is asked to.
    private func checkExport(_ export: RemoteExport) throws(Failure) {
        let isReading = workload == .read && !verify
        guard isReading || !export.flags.contains(.readOnly) else {
            throw Failure("the export is read-only")
        }
        guard workload != .trim || export.flags.contains(.trim) else {
            throw Failure("the server does not know TRIM")
        }
        guard let sizes = export.blockSizes else { return }
        guard blockSize.bytes.isMultiple(of: Int(sizes.minimum)) else {
            throw Failure("the server wants a --block-size that is a multiple of \(sizes.minimum)")
        }
        guard workload == .trim || blockSize.bytes <= Int(sizes.maximumPayload) else {
            throw Failure("the server wants a --block-size of at most \(sizes.maximumPayload)")
        }
    }

    // MARK: - Report

    private var headLines: [ReportLine] {
        let name = workload == .mixed ? "mixed, \(readPercent) % reads" : workload.rawValue
        return [
            ReportLine(key: "uri", title: "server", value: .text("\(uri)")),
            ReportLine(key: "workload", title: "workload", value: .text(name)),
            ReportLine(
                key: "pattern", title: "pattern",
                value: .text(sequential ? "sequential" : "random")),
            ReportLine(
                key: "block_size", title: "block size", value: .count(blockSize.bytes),
                unit: "bytes"),
            ReportLine(key: "depth", title: "depth", value: .count(depth)),
            ReportLine(
                key: "connections", title: "connections", value: .count(measuring.connections)),
            ReportLine(
                key: "seconds", title: "seconds", value: .number(measuring.seconds, decimals: 3)),
        ]
    }

    private func tailLines(_ figures: LoadFigures) -> [ReportLine] {
        let total = ReportLine(
            key: "total_requests", title: "requests with warm-up",
            value: .count(figures.totalRequests))
        guard verify else { return [total] }
        return [
            total,
            ReportLine(
                key: "verified_blocks", title: "blocks verified",
                value: .count(figures.verifiedBlocks)),
        ]
    }
}

/// The load of one thread.
private struct LoadWork: Work {
    let client: Client
    let plan: LoadConfiguration
    let runNumber: UInt64

    func run() throws(Failure) -> LoadFigures {
        let connection = try LoadConnection(
            socket: client.socket.handle, plan: plan, runNumber: runNumber)
        return try connection.run()
    }
}
