internal import ArgumentParser
internal import NBDProtocol

/// `nbd-load list`: the exports of a server.
struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the names of a server's exports, one per line.")

    @Argument(
        help: "nbd://HOST[:PORT] or nbd+unix:///?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    func run() throws {
        for export in try uri.exports() {
            print(
                export.description.isEmpty ? export.name : "\(export.name)\t\(export.description)")
        }
    }
}
