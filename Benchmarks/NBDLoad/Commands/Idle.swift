// `nbd-load idle`: connections that ask for nothing.

internal import ArgumentParser
internal import LinuxIO
internal import NBDProtocol

struct Idle: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold connections open without a request, to see what they cost the server.",
        discussion: "Prints \"ready\" once all of them have finished their handshake.")

    @Argument(
        help: "nbd://HOST[:PORT]/[EXPORT] or nbd+unix:///[EXPORT]?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    @Option(name: .long, help: ArgumentHelp("How many.", valueName: "count"))
    var connections = 100

    @Option(name: .long, help: ArgumentHelp("For how long.", valueName: "seconds"))
    var seconds = 5.0

    func run() throws {
        var clients: [Client] = []
        for _ in 0..<connections { clients.append(try Client(uri)) }
        announce("ready")
        Thread.sleep(milliseconds: Int(seconds * 1000))
        withExtendedLifetime(clients) {}
    }
}
