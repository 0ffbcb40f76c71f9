// `nbd-load list`: what a server has.

internal import ArgumentParser
internal import NBDProtocol

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the names of a server's exports, one a line.")

    @Argument(
        help: "nbd://HOST[:PORT] or nbd+unix:///?socket=PATH",
        transform: { try NBDURI($0) })
    var uri: NBDURI

    func run() throws {
        for export in try Client.list(uri) {
            print(
                export.description.isEmpty ? export.name : "\(export.name)\t\(export.description)")
        }
    }
}
