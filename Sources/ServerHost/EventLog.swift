// The server's events as log lines: one for a connection's start and end, none for a request.

package import Logging
package import NBDServer
internal import NBDProtocol

package struct EventLog: Sendable {
    package let logger: Logger
    private let throttle: Throttle

    /// The level of what is in order: a client comes, and goes.
    private let usual: Logger.Level

    /// - Parameter isQuiet: whether nobody needs to know of what is in order, as where all connections are
    ///   the kernel's.
    package init(logger: Logger, isQuiet: Bool = false) {
        self.logger = logger
        usual = isQuiet ? .debug : .info
        throttle = Throttle(logger: logger)
    }

    package func record(_ event: ServerEvent) {
        switch event {
        case .connected(let event):
            logger.debug(
                "client connected",
                metadata: [
                    "connection": "\(event.connection)", "peer": event.client.map { "\($0)" },
                ].present)
        case .serving(let event):
            let tls = event.tls
            logger.log(
                level: usual, "serving a client",
                metadata: [
                    "connection": "\(event.connection)", "export": "\(event.export)",
                    "peer": event.client.map { "\($0)" }, "tls": tls.map { "\($0.version)" },
                    "cipher": tls.map { "\($0.cipher)" },
                    "client": tls?.client.map { "\($0)" },
                    "tls-by": tls.map { $0.isInKernel ? "kernel" : "GnuTLS" },
                ].present)
        case .rejected(let event):
            throttle.log(.refused(event.reason, event.client.map { "\($0)" }))
        case .ended(let event): ended(event.connection, event.reason, event.statistics)
        case .acceptFailed(let error):
            throttle.log(
                Throttle.Line(
                    kind: "accept", level: .error, message: "cannot accept a client",
                    figures: ["error": "\(error)"]))
        }
    }

    /// Writes what has been counted and not been told yet.
    package func flush() { throttle.flush() }

    private func ended(
        _ number: UInt64, _ end: DisconnectReason, _ connection: ConnectionStatistics
    ) {
        let activity = connection.activity
        let errors = activity.errors
        let line = Throttle.Line(
            kind: kind(of: end), level: level(of: end), message: "connection ended: \(end)",
            figures: [
                "connection": "\(number)", "peer": "\(connection.client)",
                "seconds": "\(connection.openNanoseconds / 1_000_000_000)",
                "requests": "\(activity.requests)", "errors": "\(errors)",
                "read_bytes": "\(activity.bytes(of: .read))",
                "written_bytes": "\(activity.bytes(of: .write))",
            ])
        // Anybody can come and go without getting a disk, as often as they like.
        if connection.export == nil {
            throttle.log(line)
        } else {
            logger.log(level: line.level, "\(line.message)", metadata: line.figures)
        }
    }

    /// Few kinds, whatever clients do: what they make different is not told apart.
    private func kind(of end: DisconnectReason) -> String {
        switch end {
        case .handshakeTimeout: "ended late"
        case .evicted: "ended for others"
        case .noPlace: "ended without a place"
        case .handshake: "ended for a violation"
        case .tls: "ended by TLS"
        case .tlsRequired: "ended without TLS"
        case .closed, .disconnected, .closedInMessage, .failed: "ended by the client"
        default: "ended"
        }
    }

    private func level(of end: DisconnectReason) -> Logger.Level {
        if end.isViolation { return .warning }
        return switch end {
        case .failed, .closedInMessage, .handshakeTimeout, .evicted, .stalled, .tlsRequired:
            .notice
        default: usual
        }
    }
}

extension Throttle.Line {
    /// A client was turned away.
    fileprivate static func refused(_ refusal: RejectionReason, _ peer: String?) -> Self {
        var figures: [String: Logger.Metadata.Value?] = ["peer": peer.map { "\($0)" }]
        let reason: String
        switch refusal {
        case .notAdmitted:
            reason = "--allow, --allow-uid and --allow-gid do not have it"
        case .connectionLimit(let limit):
            reason = "there are as many connections as --max-connections allows"
            figures["limit"] = "\(limit)"
        case .sourceLimit(let limit):
            reason = "it has as many connections as --max-connections-per-address allows"
            figures["limit"] = "\(limit)"
        }
        return Self(
            kind: reason, level: .warning, message: "client refused: \(reason)",
            figures: figures.present)
    }
}

extension [String: Logger.Metadata.Value?] {
    /// Those that there are.
    fileprivate var present: Logger.Metadata { compactMapValues { $0 } }
}
