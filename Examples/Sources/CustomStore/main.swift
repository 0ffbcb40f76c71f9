import NBDServer

// Serves the store on a free port until a line is read from standard input, or it ends.
let server = try Server(
    exports: [Export(name: "dictionary", store: DictionaryStore())],
    listeningOn: [.tcp(host: "127.0.0.1", port: 0)])
try server.start()
print("serving at \(server.uris.joined(separator: ", "))")
_ = readLine()
server.stop()
