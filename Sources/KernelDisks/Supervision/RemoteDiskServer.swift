package import ProgramSupport
package import LinuxHost
package import LinuxIO
internal import NBDKernel
package import NBDProtocol
package import NBDClient

/// A disk that a server elsewhere serves, over connections that are made again when they die.
package final class RemoteDiskServer: DiskServer {
    private let uri: NBDURI
    private let server: RemoteServer
    /// Connects at most once in this time, in milliseconds.
    private static var interval: Int { 500 }
    private var notBefore = MonotonicTime.now()
    private var lastFailure: Failure?
    /// What the server had when it was connected to first.
    private var export: RemoteExport?

    /// Looks the server up.
    package init(_ uri: NBDURI) throws(Failure) {
        self.uri = uri
        do throws(RemoteServer.Failure) {
            server = try RemoteServer(uri)
        } catch {
            throw Failure(error)
        }
    }

    /// What is on the disk is the server's affair: nothing is made on it.
    package var start: InitialDiskState { InitialDiskState(isBlank: false, wasFound: true) }
    package var identifier: String { "ramdisk-nbd:uri=\(uri)" }
    package var worker: ProcessIdentity? { nil }

    package func connect() throws(Failure) -> ServerConnection {
        if let lastFailure, .now() < notBefore { throw lastFailure }
        let connection: NBDConnection
        do throws(RemoteServer.Failure) {
            connection = try server.connectForKernel()
        } catch {
            throw failed(Failure(error))
        }
        let expected = export ?? connection.export
        guard connection.export.size == expected.size, connection.export.flags == expected.flags
        else {
            connection.cut()
            throw failed(
                .unavailable(
                    "\(uri) is another disk now: it has \(connection.export.size) bytes where it had "
                        + "\(expected.size), or can do something else than before"))
        }
        export = expected
        return ServerConnection(connection: connection, number: 0, generation: 0)
    }

    /// For a while this failure is the result of every attempt.
    private func failed(_ failure: Failure) -> Failure {
        notBefore = MonotonicTime.now().adding(milliseconds: Self.interval)
        lastFailure = failure
        return failure
    }

    /// A server elsewhere does not say when it is done with a dead connection. NBD has no way to ask.
    package func hasEnded(_ connection: ServerConnection) -> Bool { true }

    package var items: [PollSource] { [] }
    package var patience: Int? { nil }
    package func attend() -> Bool { false }
    package func endByForce() {}
    package func logFigures() {}
    package func stop(isKept: Bool) {}
}

extension Failure {
    /// A server cannot be used.
    package init(_ error: RemoteServer.Failure) {
        if case .tls(let uri) = error {
            self = .usage(
                "\(uri) requires TLS, which the kernel's nbd driver does not support; "
                    + "use nbd:// or nbd+unix://")
        } else {
            self = .unavailable("\(error)")
        }
    }
}
