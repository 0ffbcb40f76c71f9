// `ramdisk-nbd serve`: memory as disks, until it is told to stop.

internal import ArgumentParser
internal import Logging
internal import NBDServer
internal import ServiceLifecycle

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve one or more RAM disks to NBD clients.",
        discussion: """
            Prints one NBD URI a line for each address when it is ready, and serves until SIGTERM or \
            SIGINT; a second one ends it at once. SIGUSR1 logs how much memory each disk takes up. \
            What is stored is gone when it ends.

            There is no authentication yet: whoever can reach the address can read and write. \
            By default that is this machine alone.

            EXAMPLES
              40 MiB on port 10809 of this machine, and the kernel's view of it:
                ramdisk-nbd serve
                nbd-client localhost /dev/nbd0

              2 GiB on a Unix socket, memory taken only as it is written:
                ramdisk-nbd serve --size 2G --sparse --unix /run/ramdisk.sock
                nbd-client -unix /run/ramdisk.sock /dev/nbd0

              Two disks, by name:
                ramdisk-nbd serve --export fast=1G --export scratch=200M
                nbd-client -N scratch localhost /dev/nbd1

              A file system's image in memory, for any number of readers:
                ramdisk-nbd serve --size 1G --load root.img --read-only

              Any free port, found out from the line that is printed:
                ramdisk-nbd serve --listen localhost:0
            """)

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Size of a disk: bytes, or with K, M, G or T (powers of 1024).", valueName: "size"))
    var size = ByteCount(40 << 20)

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Where to listen: HOST:PORT, HOST or [IPV6]:PORT; "*" is every address, port 0 picks a \
            free one. Can be given more than once. (default: localhost:10809, unless --unix is given)
            """, valueName: "host:port"))
    var listen: [ListenAddress] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Listen on a Unix socket. Can be given more than once.", valueName: "path"),
        completion: .file())
    var unix: [UnixPath] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            A disk of its own under a name, of the size given or else that of --size. Can be given \
            more than once; the first is what clients get who ask for no name. (default: one without \
            a name)
            """, valueName: "name[=size]"))
    var export: [ExportRequest] = []

    @Flag(name: .long, help: "Let clients read, not write.")
    var readOnly = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Fill the disk from a file before it is served, such as a file system's image.",
            valueName: "path"),
        completion: .file())
    var load: String?

    @Option(
        name: .long,
        help: ArgumentHelp("Most connections at a time, 1 to 10000.", valueName: "count"))
    var maxConnections = 128

    @Flag(
        name: .long,
        help: "Take memory only as it is written, and give it back when clients trim.")
    var sparse = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Microseconds that a connection may look for the next request before it sleeps, 0 to \
            1000; 0 turns it off. It adapts: an idle server uses no processor time.
            """, valueName: "microseconds"))
    var pollUs = 50

    @Option(
        name: .long,
        help: ArgumentHelp(
            "What to log on standard error.", valueName: "level"))
    var logLevel = LogLevel.info

    @Option(
        name: .long,
        help: ArgumentHelp("Write the process's number here when ready.", valueName: "path"),
        completion: .file())
    var pidFile: String?

    func validate() throws {
        guard (1...10_000).contains(maxConnections) else {
            throw ValidationError(
                "--max-connections is \(maxConnections), but has to be from 1 to 10000.")
        }
        guard (0...1_000).contains(pollUs) else {
            throw ValidationError("--poll-us is \(pollUs), but has to be from 0 to 1000.")
        }
        for size in [size] + export.compactMap(\.size) {
            guard size.bytes >= RamDisk.smallestSize, size.bytes <= RamDisk.largestSize else {
                throw ValidationError(
                    "A disk of \(size.bytes) bytes cannot be made: the smallest has "
                        + "\(RamDisk.smallestSize), the largest \(RamDisk.largestSize).")
            }
        }
        guard load == nil || export.count <= 1 else {
            throw ValidationError("--load fills one disk, but --export asks for \(export.count).")
        }
        let names = export.map(\.name)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw ValidationError("--export \(twice) is given twice; each name has to be its own.")
        }
    }

    func run() async throws {
        var logger = Logger(label: "ramdisk-nbd") { StandardErrorLog(label: $0) }
        logger.logLevel = logLevel.level
        let service = DiskService(configuration: serverConfiguration, logger: logger)
        do {
            try await DiskService.run(service, logger: logger)
        } catch let failure as Failure {
            failure.tell()
            throw ExitCode(failure.exitCode)
        }
    }

    private var serverConfiguration: DiskService.Configuration {
        let disks = export.isEmpty ? [ExportRequest(name: "", size: nil)] : export
        let isDefault = listen.isEmpty && unix.isEmpty
        var options = ServerOptions()
        options.maximumConnections = maxConnections
        options.pollMicroseconds = pollUs
        return DiskService.Configuration(
            disks: disks.map { .init(name: $0.name, size: ($0.size ?? size).bytes) },
            load: load, isSparse: sparse, isReadOnly: readOnly,
            tcp: isDefault ? [ListenAddress.standard] : listen,
            unix: unix.map(\.path), options: options, pidFile: pidFile)
    }
}
