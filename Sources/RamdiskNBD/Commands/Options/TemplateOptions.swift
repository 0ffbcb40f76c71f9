internal import ArgumentParser
internal import DiskContents
internal import Glibc
internal import ObservabilityClient
internal import ProgramSupport
internal import ServerHost

/// The template of which the disks are clones.
struct TemplateOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Make the disk a clone of this file, or of a snapshot of another running server (@NAME is one \
            of that server's first disk). The contents are read into memory once for all clones. The \
            disk takes memory only for what is written to it. A value with a slash is a path.
            """, valueName: "path|disk@snapshot"),
        completion: .file())
    var template: TemplateArgument?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            The control socket, or the pid, of the server that has the snapshot of --template. (default: \
            the only running server of this user or of root)
            """, valueName: "path|pid"),
        completion: .file())
    var templateServer: String?

    func validate() throws {
        if case .snapshot = template { return }
        guard templateServer == nil else {
            throw ValidationError(
                "--template-server needs --template DISK@SNAPSHOT: the snapshot to clone.")
        }
    }

    /// The template; one object for all disks, so that the contents are read once.
    var shared: Template? {
        switch template {
        case nil: nil
        case .file(let file): Template(path: file.path)
        case .snapshot(let disk, let name):
            Template { [templateServer] () throws(Failure) in
                try Self.receive(disk: disk, name: name, from: templateServer)
            }
        }
    }

    private static func receive(
        disk: String, name: String, from server: String?
    ) throws(Failure) -> ReceivedDisk {
        // Root must not take the contents of its disk from whichever user has a server of that name.
        let client = try ControlClient.of(
            server, option: "--template-server", users: [0, geteuid()])
        // Without a name, the first disk, whatever its name is.
        let parameters = ["disk": disk.isEmpty ? nil : disk, "name": name]
        let stream = try client.open(
            ControlClient.target("/snapshots/contents", parameters))
        return try ReceivedDisk { () throws(Failure) in try stream.nextPiece() }
    }
}

/// A file, or a snapshot of a server.
enum TemplateArgument: ExpressibleByArgument {
    case file(AbsolutePath)
    case snapshot(disk: String, name: String)

    init?(argument: String) {
        if !argument.contains("/"), let (disk, name) = ContentArgument.split(argument) {
            guard !name.isEmpty else { return nil }
            self = .snapshot(disk: disk, name: name)
        } else if let file = AbsolutePath(parsing: argument) {
            self = .file(file)
        } else {
            return nil
        }
    }
}
