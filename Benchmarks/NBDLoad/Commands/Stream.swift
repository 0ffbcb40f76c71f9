internal import ArgumentParser
internal import LinuxIO
internal import ProgramSupport
internal import NBDProtocol

/// `nbd-load stream`: the upper limit of what a server can reach. It moves the same bytes over the same type of
/// socket, without NBD and without a disk.
struct Stream: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Move plain bytes to or from a stream-server, to measure the socket alone.")

    @Argument(
        help: "Address of the stream-server: nbd://HOST:PORT or nbd+unix:///?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    @Option(name: .long, help: "Direction of the bytes: read is from the server, write is to it.")
    var workload = StreamDirection.read

    @Flag(
        name: .long,
        help: "One block at a time, as an exchange of two messages: like NBD with --depth 1.")
    var ping = false

    @Option(
        name: .long,
        help: ArgumentHelp("Size that the report counts as one request.", valueName: "size"))
    var blockSize = ByteCount(4096)

    @Option(name: .long, help: ArgumentHelp("Size of one call.", valueName: "size"))
    var chunk = ByteCount(256 << 10)

    @OptionGroup var measuring: Measuring
    @OptionGroup var binding: Binding

    func validate() throws {
        guard (1...8 << 20).contains(blockSize.count) else {
            throw ValidationError("--block-size must be from 1 to 8M.")
        }
        guard (1...Int(StreamOrder.longest)).contains(chunk.count) else {
            throw ValidationError("--chunk must be from 1 to 16M.")
        }
    }

    func run() throws {
        try binding.apply()
        let order =
            ping
            ? StreamOrder(oneAtATime: workload, blockSize: blockSize.count)
            : StreamOrder(workload, chunk: chunk.count)
        var works: [StreamWork] = []
        for _ in 0..<measuring.connections {
            works.append(
                StreamWork(
                    connection: try uri.connect(), order: order,
                    blockSize: blockSize.count, warmup: measuring.warmupNanoseconds,
                    nanoseconds: measuring.nanoseconds))
        }
        let figures = try runInThreads(works)
        let report = Report(
            lines: [
                ReportLine(key: "uri", title: "server", value: .text("\(uri)")),
                ReportLine(
                    key: "workload", title: "workload",
                    value: .text("plain \(workload.rawValue)" + (ping ? ", one at a time" : ""))),
                ReportLine(
                    key: "block_size", title: "block size", value: .count(blockSize.count),
                    unit: "bytes"),
                ReportLine(
                    key: "connections", title: "connections", value: .count(measuring.connections)),
            ] + figures.reportLines(blockSize: blockSize.count))
        print(measuring.json ? report.json : report.text)
    }
}

/// The stream of one thread.
private struct StreamWork: Work {
    let connection: StreamConnection
    let order: StreamOrder
    let blockSize: Int
    let warmup: UInt64
    let nanoseconds: UInt64

    func run() throws(Failure) -> LoadFigures {
        let client = try StreamClient(
            socket: connection.handle, order: order, blockSize: blockSize)
        return try client.run(warmup: warmup, nanoseconds: nanoseconds)
    }
}
