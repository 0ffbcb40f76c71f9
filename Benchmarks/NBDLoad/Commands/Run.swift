internal import ArgumentParser
internal import LinuxIO
internal import ProgramSupport
internal import NBDClient
internal import NBDProtocol

/// `nbd-load run`, the default command: a load on an NBD server.
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put load on a server, and report rate, bandwidth and latency.",
        discussion: """
            The workloads write, mixed and trim change the export, and so does --verify. With --verify, \
            nbd-load first writes every block, then checks each block that the load reads, and \
            finally reads every block once more. If a block differs from what was written, it says \
            how and exits with status 1.
            """)

    @Argument(
        help: "nbd://HOST[:PORT]/[EXPORT] or nbd+unix:///[EXPORT]?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    @Option(name: .long, help: "Type of the requests.")
    var workload = Workload.read

    @Option(
        name: .long, help: ArgumentHelp("Share of reads in a mixed load.", valueName: "percent"))
    var readPercent = 70

    @Flag(name: .long, help: "Access the blocks in order, not at random.")
    var sequential = false

    @Option(name: .long, help: ArgumentHelp("Size of a request.", valueName: "size"))
    var blockSize = ByteCount(4096)

    @Option(
        name: .long,
        help: ArgumentHelp("Requests in flight on each connection.", valueName: "count"))
    var depth = 128

    @Option(name: .long, help: "Message format; the server must support it.")
    var replies = HeaderFormat.simple

    @Option(
        name: .long,
        help: ArgumentHelp("Use only this much of the export, from its start.", valueName: "size"))
    var range: ByteCount?

    @Flag(name: .long, help: "Check that every block reads as it was written.")
    var verify = false

    @Flag(name: .long, help: "Busy-poll for replies instead of sleeping.")
    var spin = false

    @Option(
        name: .long,
        help: ArgumentHelp("Size of the buffer for replies.", valueName: "size"))
    var receiveBuffer = ByteCount(256 << 10)

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Size of the socket's send buffer. (default: the system's)",
            valueName: "size"))
    var sendBuffer: ByteCount?

    @OptionGroup var measuring: Measuring
    @OptionGroup var binding: Binding

    func validate() throws {
        try check((1...4096).contains(depth), "--depth must be from 1 to 4096, not \(depth)")
        try check(
            (0...100).contains(readPercent),
            "--read-percent must be from 0 to 100, not \(readPercent)")
        // A TRIM has no payload; its length has 32 bits.
        let isTrimming = workload == .trim && !verify
        try check(
            (1...(isTrimming ? 1 << 32 - 1 : 64 << 20)).contains(blockSize.count),
            "--block-size must be from 1 to \(isTrimming ? "4294967295" : "64M")")
        try check(
            (4096...1 << 30).contains(receiveBuffer.count),
            "--receive-buffer must be from 4K to 1G")
        try check(
            !verify || (blockSize.count >= 512 && blockSize.count.isMultiple(of: 512)),
            "--verify needs a --block-size that is a multiple of 512")
    }

    private func check(_ isRight: Bool, _ rule: String) throws {
        guard isRight else { throw ValidationError("\(rule).") }
    }

    func run() throws {
        try binding.apply()
        var clients: [ClientConnection] = []
        for _ in 0..<measuring.connections { clients.append(try uri.open(replies)) }
        for client in clients {
            if let sendBuffer { client.handle.setSendBuffer(bytes: sendBuffer.count) }
        }
        let configurations = try makeConfigurations(clients[0].export)
        // Distinguishes the blocks of this run from those of an earlier one.
        let runNumber = MonotonicTime.now().nanoseconds << 8
        let figures = try runInThreads(
            zip(clients, configurations).map {
                LoadWork(client: $0, configuration: $1, runNumber: runNumber)
            })
        let report = Report(
            lines: headLines + figures.reportLines(blockSize: blockSize.count)
                + tailLines(figures))
        print(measuring.json ? report.json : report.text)
    }

    // MARK: - Configurations

    private func makeConfigurations(_ export: RemoteExport) throws(Failure) -> [LoadConfiguration] {
        try checkExport(export)
        let bytes = min(export.size, range?.bytes ?? .max)
        let blocks = Int(bytes / UInt64(blockSize.count))
        guard blocks > 0 else {
            throw Failure("the export has \(bytes) bytes to use, less than --block-size")
        }
        guard !verify || blocks / measuring.connections >= depth else {
            throw Failure("--verify needs at least \(depth) blocks (--depth) for each connection")
        }
        return (0..<measuring.connections).map { index in
            let share =
                blocks * index / measuring.connections..<blocks * (index + 1)
                / measuring.connections
            var configuration = LoadConfiguration()
            configuration.workload = workload
            configuration.readPercent = readPercent
            configuration.isSequential = sequential
            configuration.format = replies
            configuration.blockSize = blockSize.count
            configuration.depth = depth
            configuration.blocks = verify ? share : 0..<blocks
            configuration.firstBlock = share.lowerBound
            configuration.warmupNanoseconds = measuring.warmupNanoseconds
            configuration.nanoseconds = measuring.nanoseconds
            configuration.isVerifying = verify
            configuration.isSpinning = spin
            configuration.seed = UInt64(index + 1)
            configuration.receiveBuffer = receiveBuffer.count
            return configuration
        }
    }

    /// Checks that the export supports the load.
    private func checkExport(_ export: RemoteExport) throws(Failure) {
        let isReading = workload == .read && !verify
        guard isReading || !export.flags.contains(.readOnly) else {
            throw Failure("the export is read-only; only --workload read without --verify works")
        }
        guard workload != .trim || export.flags.contains(.trim) else {
            throw Failure("the server does not support TRIM on this export")
        }
        guard let sizes = export.blockSizes else { return }
        guard blockSize.count.isMultiple(of: Int(sizes.minimum)) else {
            throw Failure(
                "the server requires a --block-size that is a multiple of \(sizes.minimum)")
        }
        guard workload == .trim || blockSize.count <= Int(sizes.maximumPayload) else {
            throw Failure("the server requires a --block-size of at most \(sizes.maximumPayload)")
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
                key: "block_size", title: "block size", value: .count(blockSize.count),
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
    let client: ClientConnection
    let configuration: LoadConfiguration
    let runNumber: UInt64

    func run() throws(Failure) -> LoadFigures {
        let connection = try LoadConnection(
            socket: client.handle, configuration: configuration, runNumber: runNumber)
        return try connection.run()
    }
}
