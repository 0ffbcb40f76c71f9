import NBDServer

/// Serves a disk for some seconds (60, or the first argument), beside whatever else the program does.
@main
struct EmbeddedServer {
    static func main() async throws {
        let seconds = CommandLine.arguments.dropFirst().first.flatMap(Double.init) ?? 60
        let disk = try RamDisk(size: 64 << 20, isSparse: true)
        try disk.write(Array("hello".utf8), at: 0)
        let server = try Server(
            exports: [Export(name: "scratch", disk: disk)],
            listeningOn: [.tcp(host: "127.0.0.1", port: 0)],
            onEvent: { event in
                if case .ended(let end) = event {
                    print("connection \(end.connection): \(end.reason)")
                }
            })
        // Started first, because run() does not say when clients can connect.
        try server.start()
        print("serving at \(server.uris.joined(separator: ", "))")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await Task.sleep(for: .seconds(seconds))
            // Finishes the requests that have been received, and stops.
            group.cancelAll()
        }
        print("stopped after \(server.statistics().activity.requests) requests")
    }
}
