internal import ArgumentParser
internal import DiskContents
internal import ObservabilityClient
internal import Observability
internal import ProgramSupport

/// `ramdisk-nbd save`.
struct SaveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "save",
        abstract: "Save a served disk to its image, or to any file.",
        discussion: """
            The file holds the disk as it is at one instant, while clients continue to use it. It \
            is an ordinary raw image that `mount -o loop`, `qemu-img` and `nbdcopy` read; \
            PATH.state beside it holds checksums. The command ends when everything is on the \
            storage device, and prints what it has written. Until then the file is what it was \
            before.

            EXAMPLES
              To the image that the server was started with:
                ramdisk-nbd serve --image disk.img
                ramdisk-nbd save

              The disk db to another file:
                ramdisk-nbd save --disk db db-before-upgrade.img
            """)

    @Argument(
        help: ArgumentHelp("The file. (default: the disk's image)", valueName: "path"),
        completion: .file())
    var path: AbsolutePath?

    @Option(
        name: .long,
        help: ArgumentHelp("The disk's export. (default: the server's first)", valueName: "name"),
        completion: .export)
    var disk: String?

    @Flag(name: .long, help: "Print a JSON object.")
    var json = false

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        let stats = try save(server.client())
        standardOutput(json ? try jsonLine(stats) : sentence(stats))
    }

    private func save(_ client: ControlClient) throws -> SaveStats {
        let images = try client.perform("GET", "/saves", as: [SaveStats].self).map(\.image)
        guard let path = path?.path, !images.contains(path) else {
            return try client.perform(
                "POST", "/saves", ["disk": disk, "path": path?.path], as: SaveStats.self)
        }
        // This process writes the file: the server is confined, and may be another user's.
        let stream = try client.open(ControlClient.target("/contents", ["disk": disk]))
        let received = try ReceivedDisk { () throws(Failure) in try stream.nextPiece() }
        return try received.save(to: path, export: disk ?? "")
    }

    private func sentence(_ stats: SaveStats) -> String {
        let written = Units.bytes(Double(stats.writtenBytes ?? 0))
        let time = Units.duration(nanoseconds: (stats.seconds ?? 0) * 1e9)
        return "saved to \(stats.image): wrote \(written) in \(time)\n"
    }
}
