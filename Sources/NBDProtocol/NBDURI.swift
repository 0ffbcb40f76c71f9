/// An NBD URI: `nbd://host:10809/export` or `nbd+unix:///export?socket=/path` (doc/uri.md, The NBD URI
/// format; RFC 3986).
///
/// All parts are decoded. ``description`` encodes them.
public struct NBDURI: Sendable, Hashable {
    /// The address of the server.
    public enum Transport: Sendable, Hashable {
        /// A host name or an address; an IPv6 address without brackets.
        case tcp(host: String, port: UInt16)
        /// The path of a Unix socket.
        case unix(path: String)
    }

    /// The server.
    public var transport: Transport
    /// Name of the export; empty for the server's default export.
    public var exportName: String
    /// Whether TLS is required: `nbds` or `nbds+unix`. A client without TLS must reject such a URI.
    public var requiresTLS: Bool
    /// The name before an "@", which TLS with pre-shared keys needs, for example.
    public var userName: String?
    /// The parameters `tls-type`, `tls-hostname` and so on, by name.
    public var tlsParameters: [String: String] = [:]

    /// The port that IANA has registered for `nbd`.
    public static var standardPort: UInt16 { 10809 }

    /// Creates a URI from its parts.
    public init(_ transport: Transport, exportName: String = "", requiresTLS: Bool = false) {
        self.transport = transport
        self.exportName = exportName
        self.requiresTLS = requiresTLS
    }

    /// Parses a URI. An unknown parameter is an error, as the specification demands.
    public init(_ text: String) throws(ParseError) {
        let parts = try Parts(text)
        let authority = try Authority(parts.authority)
        var socket: String?
        for (name, value) in try parts.parameters() {
            if name == "socket" {
                socket = value
            } else if name.hasPrefix("tls-") {
                tlsParameters[name] = value
            } else {
                throw .parameter(name)
            }
        }
        switch parts.scheme {
        case "nbd", "nbds":
            guard socket == nil else { throw .parameter("socket") }
            transport = .tcp(
                host: authority.host.isEmpty ? "localhost" : authority.host,
                port: authority.port ?? Self.standardPort)
        case "nbd+unix", "nbds+unix":
            guard authority.host.isEmpty, authority.port == nil else {
                throw .hostOfUnixSocket(authority.host)
            }
            guard let socket, !socket.isEmpty else { throw .noSocket }
            transport = .unix(path: socket)
        default: throw .scheme(parts.scheme)
        }
        requiresTLS = parts.scheme.hasPrefix("nbds")
        userName = authority.userName
        exportName = try decode(parts.path.dropFirst())
        guard exportName.utf8.count <= Limits.stringLength else { throw .exportNameLength }
    }

    /// The reason why a text is not an NBD URI.
    public enum ParseError: Error, Sendable, Hashable {
        /// The text does not begin with a scheme and "://".
        case noScheme
        /// The scheme is not one of `nbd`, `nbds`, `nbd+unix` and `nbds+unix`.
        case scheme(String)
        /// The port is not a number from 1 to 65535.
        case port(String)
        /// The closing bracket of an IPv6 address is missing, or text follows it.
        case address(String)
        /// Two hexadecimal digits are missing after a percent sign, or the decoded text is not UTF-8 or
        /// contains a NUL.
        case encoding(String)
        /// A parameter is unknown, or does not belong to the scheme.
        case parameter(String)
        /// The URI has a fragment: "#" and what follows it.
        case fragment
        /// The URI of a Unix socket has no parameter `socket`.
        case noSocket
        /// The URI of a Unix socket has a host.
        case hostOfUnixSocket(String)
        /// The export name is longer than 4096 bytes.
        case exportNameLength
    }
}

// MARK: - Parsing

/// The parts of a URI, not decoded yet (RFC 3986, section 3).
private struct Parts {
    var scheme: String
    var authority: Substring
    /// Empty, or with a leading slash.
    var path: Substring
    var query: Substring

    init(_ text: String) throws(NBDURI.ParseError) {
        guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") else {
            throw .noScheme
        }
        guard !text.contains("#") else { throw .fragment }
        scheme = text[..<colon].lowercased()
        let rest = text[colon...].dropFirst(3)
        let pathAndQuery = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        authority = rest[..<pathAndQuery]
        let query = rest[pathAndQuery...].firstIndex(of: "?") ?? rest.endIndex
        path = rest[pathAndQuery..<query]
        self.query = rest[query...].dropFirst()
    }

    /// Returns the names and values of the query, decoded.
    func parameters() throws(NBDURI.ParseError) -> [(String, String)] {
        var result: [(String, String)] = []
        for parameter in query.split(separator: "&") {
            let equals = parameter.firstIndex(of: "=") ?? parameter.endIndex
            result.append(
                (
                    try decode(parameter[..<equals]),
                    try decode(parameter[equals...].dropFirst())
                ))
        }
        return result
    }
}

/// The part between "//" and the next slash (RFC 3986, section 3.2).
private struct Authority {
    var userName: String?
    var host: String
    var port: UInt16?

    init(_ text: Substring) throws(NBDURI.ParseError) {
        var rest = text
        if let at = rest.lastIndex(of: "@") {
            userName = try decode(rest[..<at])
            rest = rest[at...].dropFirst()
        }
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { throw .address(String(rest)) }
            host = try decode(rest[..<end].dropFirst())
            rest = rest[end...].dropFirst()
            guard rest.isEmpty || rest.hasPrefix(":") else { throw .address(String(text)) }
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            host = try decode(rest[..<colon])
            rest = rest[colon...]
        }
        // An empty port means the standard one.
        let digits = rest.dropFirst()
        guard !digits.isEmpty else { return }
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits),
            port > 0
        else { throw .port(String(digits)) }
        self.port = port
    }
}

private func decode(_ text: Substring) throws(NBDURI.ParseError) -> String {
    guard let result = PercentEncoding.decode(text) else { throw .encoding(String(text)) }
    return result
}

// MARK: - Formatting

extension NBDURI: CustomStringConvertible {
    /// The URI, percent-encoded where necessary.
    public var description: String {
        let scheme = requiresTLS ? "nbds" : "nbd"
        let user = userName.map { PercentEncoding.encode($0) + "@" } ?? ""
        var parameters: [String] = []
        var result: String
        switch transport {
        case .tcp(let host, let port):
            // IPv6 addresses contain colons, host names do not.
            let host =
                host.contains(":")
                ? "[\(PercentEncoding.encode(host, keeping: ":"))]" : PercentEncoding.encode(host)
            result = "\(scheme)://\(user)\(host)"
            if port != Self.standardPort { result += ":\(port)" }
            if !exportName.isEmpty {
                result += "/" + PercentEncoding.encode(exportName, keeping: "/:@")
            }
        case .unix(let path):
            let name = PercentEncoding.encode(exportName, keeping: "/:@")
            result = "\(scheme)+unix://\(user)/" + name
            parameters.append("socket=" + PercentEncoding.encode(path, keeping: "/:@"))
        }
        for (name, value) in tlsParameters.sorted(by: { $0.key < $1.key }) {
            parameters.append(
                PercentEncoding.encode(name) + "="
                    + PercentEncoding.encode(value, keeping: "/:@"))
        }
        return result + (parameters.isEmpty ? "" : "?" + parameters.joined(separator: "&"))
    }
}

extension NBDURI.ParseError: CustomStringConvertible {
    /// One sentence, without a full stop.
    public var description: String {
        switch self {
        case .noScheme: "an NBD URI begins with nbd:// or nbd+unix://"
        case .scheme(let scheme):
            "\"\(scheme)\" is not one of the schemes nbd, nbds, nbd+unix and nbds+unix"
        case .port(let port): "\"\(port)\" is not a port from 1 to 65535"
        case .address(let address): "\"\(address)\" is not an IPv6 address in brackets"
        case .encoding(let text): "\"\(text)\" is not percent-encoded UTF-8 without NUL"
        case .parameter(let name): "this scheme has no parameter \"\(name)\""
        case .fragment: "an NBD URI has no fragment; write a \"#\" in a name as %23"
        case .noSocket: "an nbd+unix URI needs the parameter socket: nbd+unix:///?socket=/path"
        case .hostOfUnixSocket(let host):
            "an nbd+unix URI has no host (here \"\(host)\"), but three slashes: nbd+unix:///"
        case .exportNameLength: "the export name is longer than \(Limits.stringLength) bytes"
        }
    }
}

/// Percent-encoding (RFC 3986, section 2.1).
package enum PercentEncoding {
    /// Encodes every byte except the unreserved characters (RFC 3986, section 2.3): ASCII letters and
    /// digits, "-", ".", "_" and "~". The characters in `others`, which are ASCII, stay as they are too.
    package static func encode(_ text: String, keeping others: String = "") -> String {
        let digits = Array("0123456789ABCDEF")
        return text.utf8.reduce(into: "") { result, byte in
            let character = Character(UnicodeScalar(byte))
            let isPlain =
                byte < 0x80
                && (character.isLetter || character.isNumber || "-._~".contains(character)
                    || others.contains(character))
            if isPlain {
                result.append(character)
            } else {
                result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
    }

    /// Decodes a text. Returns nil if two hexadecimal digits are missing after a percent sign, or if the
    /// result is not UTF-8 or contains a NUL.
    package static func decode(_ text: some StringProtocol) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexadecimal),
                let low = rest.popFirst().flatMap(hexadecimal)
            else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes.contains(0) ? nil : String(validating: bytes, as: UTF8.self)
    }

    private static func hexadecimal(_ digit: UInt8) -> UInt8? {
        Character(UnicodeScalar(digit)).hexDigitValue.map(UInt8.init)
    }
}
