internal import FoundationEssentials
internal import NBDServer
internal import NIOHTTP1

/// A status and what follows it.
struct ControlResponse: Sendable {
    enum Body: Sendable {
        case whole(String)
        /// The stream of a trace.
        case trace(TraceSelection)
    }

    var status = HTTPResponseStatus.ok
    var type = "text/plain; charset=utf-8"
    var body: Body

    /// What a request gets.
    ///
    /// - Parameters:
    ///   - isMetricsOnly: whether it came to the metrics address, where there is nothing else.
    static func to(
        _ head: HTTPRequestHead, of watched: MonitoredServer, isMetricsOnly: Bool
    ) -> ControlResponse {
        guard head.method == .GET else {
            return .refusal(.methodNotAllowed, "only GET is answered here")
        }
        guard let target = URLComponents(string: head.uri) else {
            return .refusal(.badRequest, "\(head.uri) cannot be understood")
        }
        switch (target.path, isMetricsOnly) {
        case ("/healthz", _): return ControlResponse(body: .whole("ok\n"))
        case ("/metrics", _):
            return ControlResponse(
                type: "text/plain; version=0.0.4; charset=utf-8",
                body: .whole(MetricsText(watched.stats()).text))
        case ("/stats", false): return json(watched.stats())
        case ("/disks", false): return json(watched.stats().disks)
        case ("/connections", false): return json(watched.stats().connections)
        case ("/trace", false): return trace(target.queryItems ?? [])
        default: return .refusal(.notFound, "there is nothing here")
        }
    }

    /// A refusal, with one line that says why.
    static func refusal(_ status: HTTPResponseStatus, _ sentence: String) -> ControlResponse {
        ControlResponse(status: status, body: .whole(sentence + "\n"))
    }

    private static func json(_ value: some Encodable) -> ControlResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else {
            return .refusal(.internalServerError, "the figures cannot be written as JSON")
        }
        return ControlResponse(
            type: "application/json", body: .whole(String(decoding: data, as: UTF8.self) + "\n"))
    }

    private static func trace(_ query: [URLQueryItem]) -> ControlResponse {
        do throws(TraceSelection.QueryError) {
            let selection = try TraceSelection(query: query.map { ($0.name, $0.value ?? "") })
            return ControlResponse(type: "application/x-ndjson", body: .trace(selection))
        } catch {
            return .refusal(.badRequest, error.sentence)
        }
    }
}
