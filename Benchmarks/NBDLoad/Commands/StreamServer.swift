internal import ArgumentParser
internal import LinuxIO
internal import ProgramSupport
internal import NBDClient
internal import NBDProtocol
internal import SystemPackage

/// `nbd-load stream-server`: the other end of `nbd-load stream`.
struct StreamServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve plain bytes to `nbd-load stream`, until it is terminated.",
        discussion: "Prints \"ready\" when it accepts connections.")

    @Argument(
        help: "Address to listen on: nbd://HOST:PORT or nbd+unix:///?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Amount of memory that the bytes are copied from and to.", valueName: "size"))
    var size = ByteCount(40 << 20)

    func validate() throws {
        guard size.count >= 16 << 20 else {
            throw ValidationError("--size must be at least 16M.")
        }
    }

    func run() throws {
        let listener = try listen()
        let size = size.count
        standardOutput("ready\n")
        let wakeUp = try EventFD()
        while true {
            guard let client = try next(of: listener, wakeUp) else { continue }
            client.handle.disableDelay()
            _ = try Thread(name: "stream") {
                defer { withExtendedLifetime(client) {} }
                do throws(Failure) {
                    let service = try StreamService(socket: client.handle, size: size)
                    try service.run()
                } catch {
                    standardOutput("nbd-load: \(error)\n")
                }
            }
        }
    }

    /// Accepts the next client. Returns nil if the client closed the connection first.
    private func next(
        of listener: Listener, _ wakeUp: borrowing EventFD
    ) throws(Errno) -> StreamConnection? {
        _ = try Listener.poll([listener], or: wakeUp)
        do throws(Errno) {
            return StreamConnection(try listener.accept())
        } catch {
            guard error == .wouldBlock || error == .connectionAbort else { throw error }
            return nil
        }
    }

    private func listen() throws -> Listener {
        let address = try uri.resolve().addresses[0]
        return address.path == nil ? try Listener(tcp: address) : try Listener(unix: address)
    }
}
