internal import ArgumentParser
internal import Histogram
internal import LinuxIO
internal import NBDClient
internal import NBDProtocol

/// `nbd-load connect`: clients that come and go.
struct Connect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Connect, open the export and disconnect, again and again.",
        discussion: """
            The latency is that of a connection: from before connect(2) to the end of the handshake. If \
            the server is too slow for the rate, the next client connects at once.
            """)

    @Argument(
        help: "nbd://HOST[:PORT]/[EXPORT] or nbd+unix:///[EXPORT]?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    @Option(name: .long, help: ArgumentHelp("Connections per second.", valueName: "count"))
    var rate = 1000

    @Option(
        name: .long,
        help: ArgumentHelp("Clients at a time, each with a thread.", valueName: "count"))
    var clients = 8

    @Option(name: .long, help: ArgumentHelp("How long to do it.", valueName: "seconds"))
    var seconds = 5.0

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    func validate() throws {
        guard (1...1_000_000).contains(rate) else {
            throw ValidationError("--rate must be from 1 to 1000000, not \(rate).")
        }
        guard (1...1024).contains(clients) else {
            throw ValidationError("--clients must be from 1 to 1024, not \(clients).")
        }
        guard (0.001...86_400).contains(seconds) else {
            throw ValidationError("--seconds must be from 0.001 to 86400, not \(seconds).")
        }
    }

    func run() throws {
        let works = (0..<clients).map { _ in
            ConnectWork(
                uri: uri, interval: UInt64(clients) * 1_000_000_000 / UInt64(rate),
                nanoseconds: UInt64(seconds * 1e9))
        }
        let figures = try runInThreads(works)
        let report = Report(
            lines: [
                ReportLine(key: "uri", title: "server", value: .text("\(uri)")),
                ReportLine(
                    key: "connections", title: "connections", value: .count(figures.requests)),
                ReportLine(
                    key: "connections_per_second", title: "rate",
                    value: .number(figures.requestsPerSecond, decimals: 0), unit: "/s"),
            ] + figures.latencyLines)
        print(json ? report.json : report.text)
    }
}

/// The connections of one thread, one after the other.
private struct ConnectWork: Work {
    let uri: NBDURI
    /// Time from one connection to the next, in nanoseconds.
    let interval: UInt64
    let nanoseconds: UInt64

    func run() throws(Failure) -> LoadFigures {
        let goodbye = try mapping(HeaderFormat.simple.requestSize)
        var bytes = goodbye.region.mutableSpan
        Request(.disconnect).encode(into: &bytes)
        var figures = LoadFigures()
        let start = MonotonicTime.now().nanoseconds
        var next = start
        while next < start + nanoseconds {
            MonotonicTime(nanoseconds: next).sleep()
            let begun = MonotonicTime.now().nanoseconds
            let client = try uri.open()
            figures.latency.record(MonotonicTime.now().nanoseconds - begun)
            figures.requests += 1
            _ = try client.handle.drain(goodbye.region)
            next = max(next + interval, MonotonicTime.now().nanoseconds)
        }
        figures.endMeasuring(nanoseconds: MonotonicTime.now().nanoseconds - start)
        return figures
    }
}
