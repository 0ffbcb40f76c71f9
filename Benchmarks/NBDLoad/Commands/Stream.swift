// `nbd-load stream`: the limit. The same bytes over the same kind of socket, without NBD and without
// a disk.

internal import ArgumentParser
internal import LinuxIO
internal import NBDProtocol

struct Stream: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Move plain bytes between this and a stream-server: what the socket can do.")

    @Argument(
        help: "Where the stream-server is: nbd://HOST:PORT or nbd+unix:///?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    @Option(name: .long, help: "Which way the bytes go.")
    var workload = StreamDirection.read

    @Flag(
        name: .long,
        help: "One block at a time, with a question and an answer, as NBD with one in flight.")
    var ping = false

    @Option(
        name: .long,
        help: ArgumentHelp("Bytes that count as one request in the figures.", valueName: "size"))
    var blockSize = ByteCount(4096)

    @Option(name: .long, help: ArgumentHelp("Bytes of one call.", valueName: "size"))
    var chunk = ByteCount(256 << 10)

    @OptionGroup var measuring: Measuring
    @OptionGroup var binding: Binding

    func validate() throws {
        guard (1...8 << 20).contains(blockSize.bytes) else {
            throw ValidationError("--block-size has to be from 1 to 8M.")
        }
        guard (1...Int(StreamOrder.longest)).contains(chunk.bytes) else {
            throw ValidationError("--chunk has to be from 1 to 16M.")
        }
    }

    func run() throws {
        try binding.apply()
        let order =
            ping
            ? StreamOrder(oneAtATime: workload, blockSize: blockSize.bytes)
            : StreamOrder(workload, chunk: chunk.bytes)
        var works: [StreamWork] = []
        for _ in 0..<measuring.connections {
            works.append(
                StreamWork(
                    connection: Connection(try Client.connect(uri)), order: order,
                    blockSize: blockSize.bytes, warmup: measuring.warmupNanoseconds,
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
                    key: "block_size", title: "block size", value: .count(blockSize.bytes),
                    unit: "bytes"),
                ReportLine(
                    key: "connections", title: "connections", value: .count(measuring.connections)),
            ] + figures.reportLines(blockSize: blockSize.bytes))
        print(measuring.json ? report.json : report.text)
    }
}

/// The stream of one thread.
private struct StreamWork: Work {
    let connection: Connection
    let order: StreamOrder
    let blockSize: Int
    let warmup: UInt64
    let nanoseconds: UInt64

    func run() throws(Failure) -> LoadFigures {
        let client = try StreamClient(
            socket: connection.socket.handle, order: order, blockSize: blockSize)
        return try client.run(warmup: warmup, nanoseconds: nanoseconds)
    }
}
