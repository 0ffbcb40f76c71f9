internal import FoundationEssentials
internal import NBDServer
internal import NIOHTTP1
internal import ProgramSupport

/// The status, content type and body of an HTTP response.
struct ControlResponse: Sendable {
    enum Body: Sendable {
        /// A complete body, sent with its length.
        case text(String)
        /// A stream of requests, sent in chunks.
        case trace(TraceSelection)
        /// A stream of bytes, sent in chunks.
        case pieces(ControlPieces)
        /// The result of a command, which may take long.
        case command(ControlCommand, any ControlCommands)
    }

    var status = HTTPResponseStatus.ok
    var contentType = "text/plain; charset=utf-8"
    /// The exit code for a client, as in sysexits.h; nil when the status says enough.
    var exitCode: Int32?
    var body: Body

    /// Returns an error response whose body is one line with the reason.
    static func error(_ status: HTTPResponseStatus, _ sentence: String) -> ControlResponse {
        ControlResponse(status: status, body: .text(sentence + "\n"))
    }

    private static func json(_ value: some Encodable) -> ControlResponse {
        guard let line = try? jsonLine(value) else {
            return .error(.internalServerError, "cannot encode the statistics as JSON")
        }
        return ControlResponse(contentType: "application/json", body: .text(line))
    }

    private static func trace(_ query: [URLQueryItem]) -> ControlResponse {
        do throws(TraceSelection.QueryError) {
            let selection = try TraceSelection(query: query.map { ($0.name, $0.value ?? "") })
            return ControlResponse(contentType: "application/x-ndjson", body: .trace(selection))
        } catch {
            return .error(.badRequest, error.sentence)
        }
    }
}

extension ControlResponse {
    /// Creates the response to a request.
    ///
    /// - Parameters:
    ///   - monitored: the server whose statistics the response reports.
    ///   - isMetricsOnly: whether the request arrived at a metrics address, which serves `/metrics`
    ///     and `/healthz` alone.
    init(to head: HTTPRequestHead, from monitored: MonitoredServer, isMetricsOnly: Bool) {
        guard let target = URLComponents(string: head.uri) else {
            self = .error(.badRequest, "\(head.uri) is not a valid request target")
            return
        }
        guard head.method == .GET else {
            self = .command(head, target, monitored, isMetricsOnly: isMetricsOnly)
            return
        }
        self =
            switch (target.path, isMetricsOnly) {
            case ("/healthz", _): ControlResponse(body: .text("ok\n"))
            case ("/metrics", _):
                ControlResponse(
                    contentType: "text/plain; version=0.0.4; charset=utf-8",
                    body: .text(MetricsText(monitored.stats()).text))
            case ("/stats", false): .json(monitored.stats())
            case ("/disks", false): .json(monitored.stats().disks)
            case ("/connections", false): .json(monitored.stats().connections)
            case ("/trace", false): .trace(target.queryItems ?? [])
            default: .command(head, target, monitored, isMetricsOnly: isMetricsOnly)
            }
    }

    /// The resources that this module serves itself.
    private static let readOnlyResources = [
        "/healthz", "/metrics", "/stats", "/disks", "/connections", "/trace",
    ]

    /// Returns the response to a request that another module handles.
    private static func command(
        _ head: HTTPRequestHead, _ target: URLComponents, _ monitored: MonitoredServer,
        isMetricsOnly: Bool
    ) -> ControlResponse {
        let method = head.method.rawValue
        guard method == "GET" || !(isMetricsOnly || readOnlyResources.contains(target.path)) else {
            return .error(.methodNotAllowed, "the only method is GET, not \(method)")
        }
        guard let commands = monitored.commands, !isMetricsOnly else {
            return .error(.notFound, "there is no resource \(target.path)")
        }
        guard ["GET", "POST", "DELETE"].contains(method) else {
            return .error(.methodNotAllowed, "the methods are GET, POST and DELETE, not \(method)")
        }
        let parameters = (target.queryItems ?? []).map { ($0.name, $0.value ?? "") }
        let command = ControlCommand(
            method, target.path, Dictionary(parameters) { $1 })
        return ControlResponse(body: .command(command, commands))
    }

    /// Returns the response to a command. Blocks until it is performed.
    static func result(of command: ControlCommand, _ commands: any ControlCommands)
        -> ControlResponse
    {
        do throws(ControlError) {
            if let pieces = try commands.stream(command) {
                return ControlResponse(
                    contentType: "application/octet-stream", body: .pieces(pieces))
            }
            guard let json = try commands.perform(command) else {
                return .error(.notFound, "there is no resource \(command.path)")
            }
            return ControlResponse(contentType: "application/json", body: .text(json + "\n"))
        } catch {
            let status: HTTPResponseStatus =
                switch error.reason {
                case .invalid: .badRequest
                case .missing: .notFound
                case .conflict: .conflict
                case .failed: .internalServerError
                }
            var response = Self.error(status, error.sentence)
            response.exitCode = error.kind?.rawValue
            return response
        }
    }
}
