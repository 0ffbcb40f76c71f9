internal import ArgumentParser
internal import LinuxIO
internal import ProgramSupport
internal import NBDClient
internal import NBDProtocol

/// `nbd-load idle`: connections without requests.
struct Idle: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold connections open without requests, to measure what they cost the server.",
        discussion: "Prints \"ready\" when all handshakes are complete.")

    @Argument(
        help: "nbd://HOST[:PORT]/[EXPORT] or nbd+unix:///[EXPORT]?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    @Option(name: .long, help: ArgumentHelp("Number of connections.", valueName: "count"))
    var connections = 100

    @Option(name: .long, help: ArgumentHelp("How long to hold them open.", valueName: "seconds"))
    var seconds = 5.0

    func run() throws {
        var clients: [ClientConnection] = []
        for _ in 0..<connections { clients.append(try uri.open()) }
        standardOutput("ready\n")
        Thread.sleep(milliseconds: Int(seconds * 1000))
        withExtendedLifetime(clients) {}
    }
}
