// `nbd-load stream-server`: the other end of `nbd-load stream`.

internal import ArgumentParser
internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

struct StreamServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve plain bytes to `nbd-load stream`, until it is ended.",
        discussion: "Prints \"ready\" when it listens.")

    @Argument(
        help: "Where to listen: nbd://HOST:PORT or nbd+unix:///?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    @Option(
        name: .long,
        help: ArgumentHelp("Bytes of memory that the stream goes through.", valueName: "size"))
    var size = ByteCount(40 << 20)

    func validate() throws {
        guard size.bytes >= 16 << 20 else {
            throw ValidationError("--size has to be at least 16M.")
        }
    }

    func run() throws {
        let listener = try listen()
        let size = size.bytes
        announce("ready")
        let wakeUp = try EventFD()
        while true {
            guard let client = try next(of: listener, wakeUp) else { continue }
            client.socket.handle.disableDelay()
            _ = try Thread(name: "stream") {
                defer { withExtendedLifetime(client) {} }
                do throws(Failure) {
                    let service = try StreamService(socket: client.socket.handle, size: size)
                    try service.run()
                } catch {
                    announce("nbd-load: \(error)")
                }
            }
        }
    }

    /// The next client; nil when it was gone before it could be let in.
    private func next(
        of listener: Listener, _ wakeUp: borrowing EventFD
    ) throws(Errno) -> Connection? {
        _ = try Listener.poll([listener], or: wakeUp)
        do throws(Errno) {
            return Connection(try listener.accept())
        } catch {
            guard error == .wouldBlock || error == .connectionAbort else { throw error }
            return nil
        }
    }

    private func listen() throws -> Listener {
        let address = try Client.addresses(uri.transport)[0]
        return address.path == nil ? try Listener(tcp: address) : try Listener(unix: address)
    }
}
