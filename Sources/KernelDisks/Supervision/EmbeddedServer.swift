package import Confinement
internal import DiskContents
internal import ProgramSupport
package import ServerHost
package import Observability
internal import Glibc
internal import LinuxIO
internal import Logging
package import NBDServer
internal import SystemPackage

/// The options for serving a disk.
package struct ServingConfiguration: Sendable {
    package var options = ServerOptions()
    package var control = ControlConfiguration(socket: .none)
    /// The protection of the server when memory is short. A kernel disk is attached to the kernel that writes pages to
    /// it to free memory.
    package var protection = Protection.writeBack
    /// Whether a worker confines itself. A supervisor that serves itself does not: it mounts, and starts programs.
    package var sandbox = SandboxMode.off

    package init() {}
}

/// A server in this process, with its disk and its observability endpoints.
final class EmbeddedServer: Sendable {
    /// The state of the disk before it was served.
    let start: InitialDiskState
    /// The group of all connections. All are the kernel's, which moves requests between them.
    private let group: ConnectionGroup
    private let hosted: HostedServer
    private let files = CleanupStack()
    private let logger: Logger

    /// Creates the disk and starts the server. `onEnd` is called on a thread of the server with the number of
    /// each connection that has ended. `onDiskMade` is called before the disk is published and files are created.
    init(
        _ plan: DiskConfiguration, _ serving: ServingConfiguration, _ confinement: Confinement,
        logger: Logger, onDiskMade: () -> Void = {},
        onEnd: @escaping @Sendable (UInt64) -> Void
    ) throws(Failure) {
        var start: InitialDiskState?
        var group: ConnectionGroup?
        hosted = try HostedServer(
            HostedServer.Configuration(
                options: serving.options, control: serving.control,
                protection: serving.protection, confinement: confinement, isQuiet: true),
            logger: logger, cleanup: files,
            makeDisks: { () throws(Failure) in
                let disk = try plan.makeExport(logger: logger, protection: serving.protection)
                onDiskMade()
                return [disk]
            },
            prepare: { (exports, _) throws(Failure) in
                start = InitialDiskState(exports[0].disk, plan)
                group = try Self.makeGroup()
            },
            onEvent: { event in
                if case .ended(let event) = event { onEnd(event.connection) }
            })
        guard let start, let group else { preconditionFailure("the server has been prepared") }
        self.start = start
        self.group = group
        self.logger = logger
    }

    private static func makeGroup() throws(Failure) -> ConnectionGroup {
        do throws(Errno) {
            return try ConnectionGroup()
        } catch {
            throw .system("cannot start the server: \(error)")
        }
    }

    /// Serves a connection, and returns its number.
    @discardableResult
    func serve(_ socket: consuming StreamSocket) -> UInt64 {
        hosted.server.serve(socket, in: group)
    }

    /// Saves the disk to its image, if it has one.
    func save() throws(Failure) { try hosted.contents.save() }

    /// Sets the function that makes the disk consistent for the instant of a save.
    func freeze(_ body: (@Sendable () throws(Failure) -> @Sendable () -> Void)?) {
        for disk in hosted.contents.saved { disk.freeze(body) }
    }

    /// Logs how much memory the disk uses.
    func logMemoryUse() { ServedDisks.log(hosted.exports[0], to: logger) }

    /// Finishes the requests that have been received, and stops. The backing is kept or the memory is
    /// released, as `isKept` says.
    func stop(isKept: Bool) {
        hosted.stop()
        let disk = hosted.exports[0].disk
        files.remove()
        if isKept { disk.keep() } else { disk.remove() }
    }
}
