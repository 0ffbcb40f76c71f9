internal import FoundationEssentials
internal import NBDServer
internal import NIOHTTP1

/// The status, content type and body of an HTTP response.
struct ControlResponse: Sendable {
    enum Body: Sendable {
        /// A complete body, sent with its length.
        case text(String)
        /// A stream of requests, sent in chunks.
        case trace(TraceSelection)
    }

    var status = HTTPResponseStatus.ok
    var contentType = "text/plain; charset=utf-8"
    var body: Body

    /// Returns an error response whose body is one line with the reason.
    static func error(_ status: HTTPResponseStatus, _ sentence: String) -> ControlResponse {
        ControlResponse(status: status, body: .text(sentence + "\n"))
    }

    private static func json(_ value: some Encodable) -> ControlResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else {
            return .error(.internalServerError, "cannot encode the statistics as JSON")
        }
        return ControlResponse(
            contentType: "application/json",
            body: .text(String(decoding: data, as: UTF8.self) + "\n"))
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
        guard head.method == .GET else {
            self = .error(.methodNotAllowed, "the only method is GET, not \(head.method.rawValue)")
            return
        }
        guard let target = URLComponents(string: head.uri) else {
            self = .error(.badRequest, "\(head.uri) is not a valid request target")
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
            default: .error(.notFound, "there is no resource \(target.path)")
            }
    }
}
