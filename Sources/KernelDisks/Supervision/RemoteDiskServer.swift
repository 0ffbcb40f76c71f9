internal import ProgramSupport
internal import LinuxHost
internal import LinuxIO
package import NBDKernel
package import NBDProtocol
internal import NBDClient

/// A disk on a remote server. Dead connections to it are replaced.
final class RemoteDiskServer: DiskServer {
    private let uri: NBDURI
    private let server: RemoteServer
    /// The time in seconds after which the driver sends a request again, or fails it; 0 for never. With several
    /// connections the driver takes 0 as 30 seconds (`nbd_xmit_timeout`).
    private let requestTimeout: UInt64
    /// Milliseconds between two attempts to connect.
    private static var interval: Int { 500 }
    private var notBefore = MonotonicTime.now()
    private var lastFailure: Failure?
    /// The export as it was when the first connection was opened.
    private var export: RemoteExport?

    private static let identifierPrefix = "ramdisk-nbd:uri="

    /// Returns the URI in a device's identifier; nil when no such server serves the device.
    static func uri(inIdentifier identifier: String) -> String? {
        identifier.hasPrefix(identifierPrefix)
            ? String(identifier.dropFirst(identifierPrefix.count)) : nil
    }

    /// Returns the identifier of a device that a server's export is attached to.
    static func identifier(of uri: NBDURI) -> String { identifierPrefix + "\(uri)" }

    /// Resolves the server's address.
    ///
    /// - Parameter requestTimeout: the time in seconds after which the driver gives up a connection that has not
    ///   replied; 0 for never.
    init(_ uri: NBDURI, requestTimeout: UInt64) throws(Failure) {
        self.uri = uri
        self.requestTimeout = requestTimeout
        do throws(RemoteServer.Failure) {
            server = try RemoteServer(uri)
        } catch {
            throw Failure(error)
        }
    }

    /// The content of the disk belongs to the remote server, so no file system is created on it.
    var start: InitialDiskState { InitialDiskState(isBlank: false, wasFound: true) }
    var identifier: String { Self.identifier(of: uri) }
    var worker: ProcessIdentity? { nil }

    func connect() throws(Failure) -> ServerConnection {
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
                    "\(uri) is another disk now: it has \(connection.export.size) bytes instead of "
                        + "\(expected.size), or other features than before; serve the former disk there again"
                ))
        }
        export = expected
        // A request that the driver has given up must not arrive later, when the link works again: it would overwrite
        // newer data.
        if requestTimeout > 0 {
            connection.handle.setDeliveryTimeout(
                milliseconds: Int(clamping: min(requestTimeout, 86_400) * 1_000))
        }
        return ServerConnection(connection: connection, connectionID: 0, generation: 0)
    }

    /// Remembers a failure: every attempt to connect within the interval fails with it.
    private func failed(_ failure: Failure) -> Failure {
        notBefore = MonotonicTime.now().adding(milliseconds: Self.interval)
        lastFailure = failure
        return failure
    }

    /// Always true: a remote server does not report when it is done with a dead connection, and NBD has no
    /// request that asks it.
    func hasEnded(_ connection: ServerConnection) -> Bool { true }

    var pollSources: [PollSource] { [] }
    var pollTimeout: Int? { nil }
    func poll() -> Bool { false }
    func endByForce() {}
    func beginSave() {}
    var saveOutcome: Result<Void, Failure>? { .success(()) }
    func setMountPoint(_ path: String?) {}
    func logMemoryUse() {}
    func stop(isKept: Bool) {}
}

extension NBDDevice {
    /// Whether an export is attached to the device. False if that is unknown.
    package func isAttached(to uri: NBDURI) -> Bool {
        isAttached(as: RemoteDiskServer.identifier(of: uri))
    }
}

extension Failure {
    /// The remote server cannot be used.
    init(_ error: RemoteServer.Failure) {
        if case .tls(let uri) = error {
            self = .usage(
                "\(uri) requires TLS, which the kernel's nbd driver does not support; "
                    + "use nbd:// or nbd+unix://")
        } else {
            self = .unavailable("\(error)")
        }
    }
}
