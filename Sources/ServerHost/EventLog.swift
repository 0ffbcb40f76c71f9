internal import Logging
internal import NBDServer
internal import NBDProtocol

/// The server's events as log lines: one each for the start and end of a connection, none for a request.
struct EventLog: Sendable {
    let logger: Logger
    private let throttle: LogThrottle

    /// The level of normal events: a client connects or disconnects.
    private let usual: Logger.Level

    /// - Parameter isQuiet: whether normal events are logged at debug level only, as where all connections come
    ///   from the kernel.
    init(logger: Logger, isQuiet: Bool = false) {
        self.logger = logger
        usual = isQuiet ? .debug : .info
        throttle = LogThrottle(logger: logger)
    }

    func record(_ event: ServerEvent) {
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
                LogThrottle.Line(
                    kind: "accept", level: .error, message: "cannot accept a client",
                    metadata: ["error": "\(error)"]))
        }
    }

    /// Logs lines that have been counted and not been written yet.
    func flush() { throttle.flush() }

    private func ended(
        _ number: UInt64, _ end: DisconnectReason, _ connection: ConnectionStatistics
    ) {
        let activity = connection.activity
        let errors = activity.errors
        let line = LogThrottle.Line(
            kind: kind(of: end), level: level(of: end), message: "connection ended: \(end)",
            metadata: [
                "connection": "\(number)", "peer": "\(connection.client)",
                "seconds": "\(connection.openNanoseconds / 1_000_000_000)",
                "requests": "\(activity.requests)", "errors": "\(errors)",
                "read_bytes": "\(activity.bytes(of: .read))",
                "written_bytes": "\(activity.bytes(of: .write))",
            ])
        // Clients can connect and disconnect without choosing an export, as often as they like.
        if connection.export == nil {
            throttle.log(line)
        } else {
            logger.log(level: line.level, "\(line.message)", metadata: line.metadata)
        }
    }

    /// Returns the kind for throttling. There are few, whatever clients send.
    private func kind(of end: DisconnectReason) -> String {
        switch end {
        case .handshakeTimeout: "ended late"
        case .evicted: "evicted"
        case .noPlace: "ended without a connection slot"
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

extension LogThrottle.Line {
    /// The line for a client that the server rejected.
    fileprivate static func refused(_ refusal: RejectionReason, _ peer: String?) -> Self {
        var metadata: [String: Logger.Metadata.Value?] = ["peer": peer.map { "\($0)" }]
        let reason: String
        switch refusal {
        case .notAdmitted:
            reason = "not permitted by --allow-network, --allow-user or --allow-group"
        case .connectionLimit(let limit):
            reason = "the limit of --max-connections is reached"
            metadata["limit"] = "\(limit)"
        case .sourceLimit(let limit):
            reason = "the limit of --max-connections-per-address is reached"
            metadata["limit"] = "\(limit)"
        }
        return Self(
            kind: reason, level: .warning, message: "client rejected: \(reason)",
            metadata: metadata.present)
    }
}

extension [String: Logger.Metadata.Value?] {
    /// The entries that have a value.
    fileprivate var present: Logger.Metadata { compactMapValues { $0 } }
}
