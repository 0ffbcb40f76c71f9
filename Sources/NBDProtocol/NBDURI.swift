/// An NBD URI: `nbd://host:10809/export` or `nbd+unix:///export?socket=/path`.
///
/// All parts are as people mean them: percent-encoding is undone here, and done by ``description``.
public struct NBDURI: Sendable, Hashable {
    /// How to reach the server.
    public enum Transport: Sendable, Hashable {
        /// A host name or an address, without the brackets of an IPv6 one.
        case tcp(host: String, port: UInt16)
        /// A Unix socket.
        case unix(path: String)
    }

    /// The server.
    public var transport: Transport
    /// Name of the export; empty means the server's default.
    public var exportName: String
    /// Whether TLS is a must: `nbds` or `nbds+unix`. Who cannot speak TLS has to refuse it.
    public var requiresTLS: Bool
    /// The name before an "@", which some kinds of TLS have a use for.
    public var userName: String?
    /// `tls-type`, `tls-hostname` and so on, by name.
    public var tlsParameters: [String: String] = [:]

    /// The port of NBD. IANA, `nbd`
    public static var standardPort: UInt16 { 10809 }

    /// A URI of these parts.
    public init(_ transport: Transport, exportName: String = "", requiresTLS: Bool = false) {
        self.transport = transport
        self.exportName = exportName
        self.requiresTLS = requiresTLS
    }

    /// Takes a text apart. What is not understood is an error, as the specification wants.
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
        exportName = try decoded(parts.path.dropFirst())
        guard exportName.utf8.count <= Limits.stringLength else { throw .exportNameLength }
    }

    /// Why a text is no NBD URI.
    public enum ParseError: Error, Sendable, Hashable {
        /// It does not begin with a scheme and "://".
        case noScheme
        /// A scheme that is not one of `nbd`, `nbds`, `nbd+unix` and `nbds+unix`.
        case scheme(String)
        /// A port that is not a number from 1 to 65535.
        case port(String)
        /// An IPv6 address without its closing bracket, or with something behind it.
        case address(String)
        /// A percent sign without two digits behind it, bytes that are not UTF-8, or a NUL.
        case encoding(String)
        /// A parameter that is not known, or does not belong to the scheme.
        case parameter(String)
        /// A fragment: a "#", and what follows it.
        case fragment
        /// A URI of a Unix socket without the parameter that says which.
        case noSocket
        /// A URI of a Unix socket with a host.
        case hostOfUnixSocket(String)
        /// A name over 4096 bytes.
        case exportNameLength
    }
}

// MARK: - Taking apart

/// The parts of a URI, still encoded (RFC 3986, section 3).
private struct Parts {
    var scheme: String
    var authority: Substring
    /// Empty, or with its leading slash.
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

    /// Names and values of the query, decoded.
    func parameters() throws(NBDURI.ParseError) -> [(String, String)] {
        var result: [(String, String)] = []
        for parameter in query.split(separator: "&") {
            let equals = parameter.firstIndex(of: "=") ?? parameter.endIndex
            result.append(
                (
                    try decoded(parameter[..<equals]),
                    try decoded(parameter[equals...].dropFirst())
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
            userName = try decoded(rest[..<at])
            rest = rest[at...].dropFirst()
        }
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { throw .address(String(rest)) }
            host = try decoded(rest[..<end].dropFirst())
            rest = rest[end...].dropFirst()
            guard rest.isEmpty || rest.hasPrefix(":") else { throw .address(String(text)) }
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            host = try decoded(rest[..<colon])
            rest = rest[colon...]
        }
        // An empty port is the standard one.
        let digits = rest.dropFirst()
        guard !digits.isEmpty else { return }
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits),
            port > 0
        else { throw .port(String(digits)) }
        self.port = port
    }
}

/// Undoes percent-encoding.
private func decoded(_ text: Substring) throws(NBDURI.ParseError) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
            bytes.append(byte)
            continue
        }
        guard let high = rest.popFirst().flatMap(hexadecimal),
            let low = rest.popFirst().flatMap(hexadecimal)
        else { throw .encoding(String(text)) }
        bytes.append(high << 4 | low)
    }
    guard !bytes.contains(0), let result = String(validating: bytes, as: UTF8.self) else {
        throw .encoding(String(text))
    }
    return result
}

private func hexadecimal(_ digit: UInt8) -> UInt8? {
    Character(UnicodeScalar(digit)).hexDigitValue.map(UInt8.init)
}

// MARK: - Putting together

extension NBDURI: CustomStringConvertible {
    /// The URI, with everything encoded that has to be.
    public var description: String {
        let scheme = requiresTLS ? "nbds" : "nbd"
        let user = userName.map { encoded($0, keeping: "") + "@" } ?? ""
        var parameters: [String] = []
        var result: String
        switch transport {
        case .tcp(let host, let port):
            // A colon is in IPv6 addresses and in no host name.
            let host = host.contains(":") ? "[\(encoded(host, keeping: ":"))]" : encoded(host)
            result = "\(scheme)://\(user)\(host)"
            if port != Self.standardPort { result += ":\(port)" }
            if !exportName.isEmpty { result += "/" + encoded(exportName, keeping: "/:@") }
        case .unix(let path):
            result = "\(scheme)+unix://\(user)/" + encoded(exportName, keeping: "/:@")
            parameters.append("socket=" + encoded(path, keeping: "/:@"))
        }
        for (name, value) in tlsParameters.sorted(by: { $0.key < $1.key }) {
            parameters.append(encoded(name) + "=" + encoded(value, keeping: "/:@"))
        }
        return result + (parameters.isEmpty ? "" : "?" + parameters.joined(separator: "&"))
    }
}

/// Encodes all but the characters that may stand anywhere (RFC 3986, section 2.3), and these.
private func encoded(_ text: String, keeping others: String = "") -> String {
    let digits = Array("0123456789ABCDEF")
    var result = ""
    for byte in text.utf8 {
        let character = Character(UnicodeScalar(byte))
        let isPlain =
            byte < 0x80
            && (character.isLetter || character.isNumber || "-._~".contains(character)
                || others.contains(character))
        if isPlain {
            result.append(character)
        } else {
            result += "%" + String([digits[Int(byte >> 4)], digits[Int(byte & 15)]])
        }
    }
    return result
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
        case .parameter(let name): "the parameter \"\(name)\" is not known for this scheme"
        case .fragment: "an NBD URI has no fragment; a \"#\" in a name is written %23"
        case .noSocket: "a nbd+unix URI needs the parameter socket: nbd+unix:///?socket=/path"
        case .hostOfUnixSocket(let host):
            "a nbd+unix URI has no host (\"\(host)\"), but three slashes: nbd+unix:///"
        case .exportNameLength: "the name of the export is over \(Limits.stringLength) bytes long"
        }
    }
}
