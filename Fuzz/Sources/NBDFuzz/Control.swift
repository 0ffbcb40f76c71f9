import DiskContents
import Foundation
import LinuxIO
import Logging
import NBDServer
import Observability
import Synchronization
import SystemPackage

/// Maximum number of requests in one input.
private let requestLimit = 24

/// Sends requests to a control socket or a metrics address: some as they should be, some not. The endpoint must answer
/// the next client, and keep nothing of this one.
func fuzzControl(_ input: [UInt8]) {
    var script = Script(input)
    let shape = script.byte()
    let target = ControlTarget.shared
    let link = target.connect(toMetrics: shape & 0x0f == 0x0f)
    for _ in 0..<requestLimit where !script.isOver && !link.isClosed {
        let choice = script.byte()
        switch choice & 7 {
        case 0: link.send(script.bytes(Int(script.byte())))
        case 1: target.change(page: script.byte())
        default:
            link.send(request(choice, &script))
            // Most inputs wait for the answer, as clients do; the rest are pipelined.
            if shape & 0x10 == 0 { link.poll(milliseconds: 30) }
        }
    }
    if shape & 0x20 == 0 { link.finish() }
    precondition(
        link.received.isEmpty || link.received.starts(with: "HTTP/1.1 ".utf8),
        "a response that is not HTTP: \(String(decoding: link.received.prefix(80), as: UTF8.self))")
    target.inputIsOver()
}

/// Returns a request. Its parts are valid more often than random ones would be.
private func request(_ choice: UInt8, _ script: inout Script) -> [UInt8] {
    let methods = ["GET", "POST", "POST", "DELETE", "DELETE", "HEAD", "PUT", "OPTIONS"]
    let paths = [
        "/healthz", "/metrics", "/stats", "/disks", "/connections", "/trace", "/snapshots",
        "/snapshots", "/snapshots/rollback", "/clones", "/clones", "/checkpoints",
        "/checkpoints/commit",
        "/checkpoints/abort", "/saves", "/saves",
    ]
    let kind = script.byte()
    let path = kind & 0x80 == 0 ? paths[Int(kind & 15)] : "/" + encoded(&script)
    var names: [String] = []
    for _ in 0..<kind >> 4 & 7 { names.append(parameter(&script)) }
    let query = names.isEmpty ? "" : "?" + names.joined(separator: "&")
    var text =
        "\(methods[Int(choice >> 3 & 7)]) \(path)\(query) HTTP/1.\(choice & 0x40 == 0 ? 1 : 0)\r\n"
    let headers = script.byte()
    if headers & 1 == 0 { text += "Host: localhost\r\n" }
    if headers & 2 != 0 { text += "Connection: \(headers & 4 == 0 ? "close" : "keep-alive")\r\n" }
    if headers & 8 != 0 { text += "Expect: 100-continue\r\n" }
    if headers & 16 != 0 { text += "X-\(encoded(&script)): \(encoded(&script))\r\n" }
    switch headers >> 5 {
    case 1: return Array((text + "Content-Length: 5\r\n\r\nhello").utf8)
    case 2: return Array((text + "Content-Length: \(script.wide())\r\n\r\n").utf8)
    case 3: return Array((text + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").utf8)
    case 4: return Array((text + "Transfer-Encoding: chunked\r\n\r\n\(encoded(&script))\r\n").utf8)
    default: return Array((text + "\r\n").utf8)
    }
}

private func parameter(_ script: inout Script) -> String {
    let names = [
        "disk", "name", "name", "force", "full", "snapshot", "path", "command", "export", "count",
        "connection", "offset", "min_latency", "", "name", "disk",
    ]
    let values = [
        "disk", "other", "a", "b", "c", "true", "false", "disk%40a", "read,write", "1", "0-4095",
        "100us", "/image", "/other.img", "", "a@b",
    ]
    let choice = script.byte()
    let value = script.byte()
    let text = value & 0xf0 == 0xf0 ? encoded(&script) : values[Int(value & 15)]
    return "\(names[Int(choice & 15)])=\(text)"
}

/// Returns a few bytes, with those encoded that would end the request's line.
private func encoded(_ script: inout Script) -> String {
    script.bytes(Int(script.byte() & 15)).map { byte in
        let isPlain =
            byte > 0x20 && byte < 0x7f && byte != UInt8(ascii: "%") || byte == UInt8(ascii: "%")
        return isPlain ? String(UnicodeScalar(byte)) : "%" + String(byte | 0x10, radix: 16)
    }.joined()
}

/// A server with two small disks, of which one has an image, and its control endpoint. Inputs run one after the other.
private final class ControlTarget: Sendable {
    static let shared = ControlTarget()

    /// Exports that may be left while commands of clients that are gone still run.
    private static let exportRoom = 64
    private static let diskSize = 1 << 20

    private let disk: RamDisk
    private let server: Server
    private let contents: ServedContents
    private let endpoint: ControlEndpoint
    private let watch = Mutex(LeakWatch())

    private init() {
        let logger = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
        do {
            disk = try RamDisk(size: UInt64(Self.diskSize), isSparse: true)
            disk.snapshotMemoryLimit = UInt64(256 << 10)
            let other = try RamDisk(size: UInt64(Self.diskSize))
            server = try Server(
                exports: [Export(name: "disk", disk: disk), Export(name: "other", disk: other)],
                options: ServerOptions())
            try server.start()
            let saved = try SavedDisk(path: Scratch.path("image"), every: nil, logger: logger)
            try saved.restore(disk, export: "disk")
            contents = ServedContents(of: server, saved: [saved], logger: logger)
            let commands = CommandsInScratch(commands: contents.commands)
            let monitored = MonitoredServer(
                server: server, sandbox: "off", addresses: [], maximumConnections: 1,
                saves: { [contents] in contents.saves },
                snapshots: { [contents] in contents.allSnapshots }, commands: commands)
            endpoint = try ControlEndpoint(
                control: try Self.listener("control"), metrics: [try Self.listener("metrics")],
                monitored: monitored, logger: logger)
            try endpoint.start()
        } catch {
            fatalError("cannot start the control endpoint: \(error)")
        }
    }

    private static func listener(_ name: String) throws -> Listener {
        guard let address = SocketAddress.unix(path: Scratch.path(name)) else {
            fatalError("the path \(Scratch.path(name)) is too long")
        }
        return try Listener(unix: address)
    }

    func connect(toMetrics: Bool) -> Link {
        guard
            let address = SocketAddress.unix(path: Scratch.path(toMetrics ? "metrics" : "control")),
            let socket = try? StreamSocket.connect(to: address, milliseconds: 20_000)
        else { fatalError("the endpoint accepts no connection") }
        return Link(socket)
    }

    /// Writes a page, so that snapshots have something to preserve.
    func change(page: UInt8) {
        let bytes = [UInt8](repeating: page, count: 4096)
        guard (try? disk.write(bytes, at: UInt64(page) * 4096)) != nil else {
            preconditionFailure("the disk cannot be written")
        }
    }

    /// Checks that the endpoint answers the next client, and undoes what the input has made.
    func inputIsOver() {
        let link = connect(toMetrics: false)
        link.send(Array("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n".utf8))
        link.drain()
        precondition(
            link.received.starts(with: "HTTP/1.1 200 ".utf8), "the endpoint is not healthy")
        for _ in 0..<2 {
            for snapshot in list("/snapshots", of: [SnapshotStatus].self) {
                remove("DELETE", "/snapshots", snapshot.disk, snapshot.name)
            }
            for clone in list("/clones", of: [CloneStatus].self) {
                remove("DELETE", "/clones", nil, clone.export)
            }
        }
        for checkpoint in list("/checkpoints", of: [CheckpointStatus].self)
        where checkpoint.state != .committed {
            remove("POST", "/checkpoints/abort", checkpoint.disk, checkpoint.name)
        }
        precondition(server.exports.count < Self.exportRoom, "exports of deleted contents stay")
        watch.withLock { $0.inputIsOver() }
    }

    private func list<Value: Decodable>(_ path: String, of type: Value.Type) -> Value {
        guard let text = try? contents.commands.perform(ControlCommand("GET", path)),
            let value = try? JSONDecoder().decode(type, from: Data(text.utf8))
        else { preconditionFailure("\(path) cannot be listed") }
        return value
    }

    private func remove(_ method: String, _ path: String, _ disk: String?, _ name: String) {
        var parameters = ["name": name, "force": "true"]
        parameters["disk"] = disk
        // A command of a client that is gone may be faster.
        _ = try? contents.commands.perform(ControlCommand(method, path, parameters))
    }
}

/// Commands whose files stay in the directory for temporary ones: an input must not write to any other.
private struct CommandsInScratch: ControlCommands {
    let commands: any ControlCommands

    func perform(_ command: ControlCommand) throws(ControlError) -> String? {
        guard let path = command.parameters["path"] else { return try commands.perform(command) }
        var parameters = command.parameters
        let name = path.dropFirst().filter { $0 != "/" && $0.isASCII }.prefix(40)
        if path.hasPrefix("/") { parameters["path"] = Scratch.path(String(name)) }
        guard !["control", "metrics", "..", ""].contains(String(name)) else { return nil }
        return try commands.perform(ControlCommand(command.method, command.path, parameters))
    }
}
