/// A TCP address to listen on.
package struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
    /// The port of NBD (specification: "Newstyle negotiation").
    static let standardPort: UInt16 = 10809
    /// The loopback address of both families, with the port of NBD.
    static let standard = ListenAddress(host: "localhost", port: standardPort)

    var host: String
    var port: UInt16

    init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Parses `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or `:PORT`, which is localhost.
    package init?(parsing argument: String) {
        var rest = argument[...]
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { return nil }
            host = String(rest[rest.index(after: rest.startIndex)..<end])
            rest = rest[rest.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
        } else {
            let end = rest.firstIndex(of: ":") ?? rest.endIndex
            host =
                end == rest.startIndex && end != rest.endIndex ? "localhost" : String(rest[..<end])
            rest = rest[end...]
        }
        guard !host.isEmpty else { return nil }
        guard !rest.isEmpty else {
            port = Self.standardPort
            return
        }
        let digits = rest.dropFirst()
        guard digits.allSatisfy(\.isASCIIDigit), let port = UInt16(digits) else { return nil }
        self.port = port
    }

    package var description: String { "\(host):\(port)" }
}

extension Character {
    /// Whether this is a digit from 0 to 9. Unicode has other digits.
    package var isASCIIDigit: Bool { "0" <= self && self <= "9" }
}
