internal import LinuxHost
internal import LinuxIO
internal import Observability
internal import ProgramSupport

/// A run of `stats`. It blocks its thread.
package struct StatsSession {
    private let client: ControlClient
    private let isJSON: Bool
    private let device: (Int32) -> String?

    /// - Parameter device: returns the device that the disk of a server is attached to, by the server's pid.
    package init(client: ControlClient, isJSON: Bool, device: @escaping (Int32) -> String?) {
        self.client = client
        self.isJSON = isJSON
        self.device = device
    }

    /// Prints the statistics once or, with an interval, until nobody reads standard output.
    package func run(interval: Duration?) throws {
        while true {
            let stats = try client.get("/stats", as: Stats.self)
            let isRead = StandardOutput.print(
                isJSON
                    ? try jsonLine(stats)
                    : StatsText(
                        stats, device: device(stats.server.pid), width: Terminal.outputWidth
                    ).text)
            guard let interval, isRead else { return }
            Thread.sleep(milliseconds: interval.wholeMilliseconds)
            if !isJSON { standardOutput("\n") }
        }
    }
}
