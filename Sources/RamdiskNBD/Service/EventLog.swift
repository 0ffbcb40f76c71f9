// The server's events as log lines: one for a connection's start and end, none for a request.

internal import Logging
internal import NBDServer

struct EventLog: Sendable {
    let logger: Logger

    func record(_ event: ServerEvent) {
        switch event {
        case .connected(let number):
            logger.debug("client connected", metadata: ["connection": "\(number)"])
        case .serving(let number, let export):
            logger.info(
                "serving a client",
                metadata: ["connection": "\(number)", "export": "\"\(export)\""])
        case .refused(let limit):
            logger.warning(
                "client refused: there are as many connections as --max-connections allows",
                metadata: ["limit": "\(limit)"])
        case .ended(let number, let end):
            logger.log(
                level: level(of: end), "connection ended: \(end)",
                metadata: ["connection": "\(number)"])
        case .acceptFailed(let error):
            logger.error("cannot take a client in", metadata: ["error": "\(error)"])
        }
    }

    private func level(of end: SessionEnd) -> Logger.Level {
        if end.isViolation { return .warning }
        return switch end {
        case .failed, .closedInMessage, .handshakeTimeout: .notice
        default: .info
        }
    }
}
