package import ProgramSupport
package import ServerHost
package import Observability
internal import Glibc
package import LinuxIO
package import Logging
package import NBDServer
internal import SystemPackage

/// How a disk is served, besides what it is.
package struct ServingConfiguration: Sendable {
    package var options = ServerOptions()
    package var control = ControlConfiguration(socket: .none)
    /// The kernel that such a disk is attached to is the one that gives memory back through it.
    package var protection = Protection.writeBack

    package init(
        options: ServerOptions = ServerOptions(),
        control: ControlConfiguration = ControlConfiguration(socket: .none),
        protection: Protection = Protection.writeBack
    ) {
        self.options = options
        self.control = control
        self.protection = protection
    }
}

/// The server, its disk, and the ways to ask it about itself.
package final class EmbeddedServer: Sendable {
    /// The state of the disk before it was served.
    package let start: InitialDiskState
    /// All connections are the kernel's, which moves requests between them.
    private let group: ConnectionGroup
    private let hosted: HostedServer
    private let files = CleanupStack()
    private let logger: Logger

    /// Makes the disk, and serves it to whoever is handed over; `onEnd` is told the numbers of connections
    /// that have ended.
    package init(
        _ plan: DiskConfiguration, _ serving: ServingConfiguration, logger: Logger,
        onEnd: @escaping @Sendable (UInt64) -> Void
    ) throws(Failure) {
        var start: InitialDiskState?
        var group: ConnectionGroup?
        hosted = try HostedServer(
            HostedServer.Configuration(
                options: serving.options, control: serving.control,
                protection: serving.protection, isQuiet: true),
            logger: logger, cleanup: files,
            makeDisks: { () throws(Failure) in [try plan.makeExport(logger: logger)] },
            prepare: { (exports) throws(Failure) in
                start = InitialDiskState(exports[0].disk, plan)
                group = try Self.makeGroup()
            },
            onEvent: { event in
                if case .ended(let number, _, _) = event { onEnd(number) }
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

    /// Takes a connection in, and returns its number.
    @discardableResult
    package func serve(_ socket: consuming StreamSocket) -> UInt64 {
        hosted.server.serve(socket, in: group)
    }

    /// Logs how much memory the disk takes up.
    package func logFigures() { ServedDisks.log(hosted.exports[0].disk, to: logger) }

    /// Finishes what has been received, and lets go of the disk: it is kept under its name, or freed.
    package func stop(isKept: Bool) {
        hosted.stop()
        let disk = hosted.exports[0].disk
        files.remove()
        if isKept { disk.keep() } else { disk.remove() }
    }
}
