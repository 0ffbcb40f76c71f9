// Values of options that are more than a number or a text.

internal import ArgumentParser
internal import LinuxIO
internal import Logging
internal import NBDProtocol

/// A number of bytes: `4096`, `40M`, `1.5G` is not one.
struct ByteCount: ExpressibleByArgument, Equatable {
    var bytes: UInt64

    init(_ bytes: UInt64) { self.bytes = bytes }

    init?(argument: String) {
        let shifts: [String: UInt64] = ["K": 10, "M": 20, "G": 30, "T": 40]
        var digits = argument[...]
        var shift: UInt64 = 0
        if let last = digits.last, let known = shifts[last.uppercased()] {
            shift = known
            digits = digits.dropLast()
        }
        guard !digits.isEmpty, digits.allSatisfy(\.isASCIIDigit), let number = UInt64(digits),
            number <= UInt64.max >> shift
        else { return nil }
        bytes = number << shift
    }

    /// The shortest way to write it: `40M`.
    var defaultValueDescription: String {
        for (shift, letter) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] as [(UInt64, String)]
        where bytes > 0 && bytes % (1 << shift) == 0 {
            return "\(bytes >> shift)\(letter)"
        }
        return "\(bytes)"
    }
}

/// Where to listen with TCP.
struct ListenAddress: ExpressibleByArgument, Equatable {
    /// NBD's own port (specification: "Newstyle negotiation").
    static let standardPort: UInt16 = 10809
    /// Both families' loopback.
    static let standard = ListenAddress(host: "localhost", port: standardPort)

    var host: String
    var port: UInt16

    init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT`, `:PORT` for localhost.
    init?(argument: String) {
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

    var defaultValueDescription: String { "\(host):\(port)" }
}

/// A disk with a name: `NAME` or `NAME=SIZE`.
struct ExportRequest: ExpressibleByArgument, Equatable {
    var name: String
    var size: ByteCount?

    init(name: String, size: ByteCount?) {
        self.name = name
        self.size = size
    }

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        name = String(parts[0])
        guard !name.isEmpty, name.utf8.count <= Limits.stringLength, !name.utf8.contains(0)
        else { return nil }
        guard parts.count == 2 else { return }
        guard let size = ByteCount(argument: String(parts[1])) else { return nil }
        self.size = size
    }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { "0" <= self && self <= "9" }
}

/// How much to log; swift-log's levels by name.
enum LogLevel: String, CaseIterable, ExpressibleByArgument {
    case trace, debug, info, notice, warning, error, critical

    var level: Logger.Level {
        switch self {
        case .trace: .trace
        case .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        case .critical: .critical
        }
    }
}
