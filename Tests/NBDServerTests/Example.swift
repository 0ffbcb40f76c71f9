// The example of the README and of Server's documentation, so that it compiles and runs.
// EmbeddingTests compares the three.

import NBDServer

func example() throws {
    let disk = try RamDisk(size: 40 << 20)
    let server = try Server(
        exports: [Export(disk: disk)], listeningOn: [.tcp(host: "127.0.0.1", port: 0)])
    try server.start()
    print("serving at \(server.uris.joined(separator: ", "))")
    // … clients read and write …
    server.stop()
}
