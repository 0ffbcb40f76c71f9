import Testing

@testable import NBDProtocol

@Suite("NBD URIs")
struct NBDURITests {
    @Test(
        "a TCP URI has a host, a port and an export",
        arguments: [
            ("nbd://example.com", "example.com", 10809, ""),
            ("nbd://example.com/", "example.com", 10809, ""),
            ("nbd://example.com/disk", "example.com", 10809, "disk"),
            ("nbd://example.com//disk", "example.com", 10809, "/disk"),
            ("nbd://example.com/a/b", "example.com", 10809, "a/b"),
            ("nbd://example.com/hello%20world", "example.com", 10809, "hello world"),
            ("nbd://example.com/%c3%BC%2Fü", "example.com", 10809, "ü/ü"),
            ("nbd://example.com/a%3fb%23c%25", "example.com", 10809, "a?b#c%"),
            ("nbd://example.com:1", "example.com", 1, ""),
            ("nbd://example.com:65535/x", "example.com", 65535, "x"),
            ("nbd://example.com:/x", "example.com", 10809, "x"),
            ("NBD://127.0.0.1:5", "127.0.0.1", 5, ""),
            ("nbd://[::1]", "::1", 10809, ""),
            ("nbd://[::1]:10810/x", "::1", 10810, "x"),
            ("nbd://[fe80::1%25eth0]:7", "fe80::1%eth0", 7, ""),
            ("nbd://", "localhost", 10809, ""),
            ("nbd:///x", "localhost", 10809, "x"),
            ("nbd://:10810", "localhost", 10810, ""),
            ("nbd://h?tls-type=psk", "h", 10809, ""),
            ("nbd://h/+", "h", 10809, "+"),
        ] as [(String, String, UInt16, String)])
    func tcp(text: String, host: String, port: UInt16, export: String) throws {
        let uri = try NBDURI(text)
        #expect(uri.transport == .tcp(host: host, port: port))
        #expect(uri.exportName == export)
        #expect(!uri.requiresTLS)
    }

    @Test(
        "a Unix URI has a socket and an export",
        arguments: [
            ("nbd+unix:///?socket=/tmp/sock", "/tmp/sock", ""),
            ("nbd+unix://?socket=/tmp/sock", "/tmp/sock", ""),
            ("nbd+unix:///disk?socket=nbd.sock", "nbd.sock", "disk"),
            ("nbd+unix:///a%2Fb?socket=/tmp/a%20b%26c", "/tmp/a b&c", "a/b"),
            ("nbd+unix:////x?socket=/s=t", "/s=t", "/x"),
        ])
    func unix(text: String, path: String, export: String) throws {
        let uri = try NBDURI(text)
        #expect(uri.transport == .unix(path: path))
        #expect(uri.exportName == export)
    }

    @Test("nbds requires TLS, and keeps its parameters")
    func tls() throws {
        let tcp = try NBDURI("nbds://alice%40home@example.com:1/x?tls-type=psk&tls-hostname=a%20b")
        #expect(tcp.requiresTLS)
        #expect(tcp.userName == "alice@home")
        #expect(tcp.tlsParameters == ["tls-type": "psk", "tls-hostname": "a b"])
        #expect(tcp.transport == .tcp(host: "example.com", port: 1))
        let unix = try NBDURI("nbds+unix:///x?socket=/s&tls-verify-peer=0")
        #expect(unix.requiresTLS && unix.transport == .unix(path: "/s"))
    }

    @Test(
        "an invalid URI says what is wrong",
        arguments: [
            ("", .noScheme), ("localhost", .noScheme), ("nbd:localhost:10809", .noScheme),
            ("/dev/nbd0", .noScheme),
            ("http://h", .scheme("http")), ("nbd+vsock://3", .scheme("nbd+vsock")),
            ("nbd://h:0", .port("0")), ("nbd://h:65536", .port("65536")),
            ("nbd://h:x", .port("x")), ("nbd://h:+5", .port("+5")), ("nbd://::1", .port(":1")),
            ("nbd://[::1", .address("[::1")), ("nbd://[::1]5", .address("[::1]5")),
            ("nbd://h/%", .encoding("%")), ("nbd://h/a%4", .encoding("a%4")),
            ("nbd://h/%zz", .encoding("%zz")), ("nbd://h/%c3%28", .encoding("%c3%28")),
            ("nbd://h/%00", .encoding("%00")),
            ("nbd+unix:///?socket=%00abstract", .encoding("%00abstract")),
            ("nbd://h?socket=/s", .parameter("socket")), ("nbd://h?x=1", .parameter("x")),
            ("nbd+unix:///?socket=/s&port=1", .parameter("port")),
            ("nbd://h/a#b", .fragment),
            ("nbd+unix:///x", .noSocket), ("nbd+unix:///?socket=", .noSocket),
            ("nbd+unix://h/x?socket=/s", .hostOfUnixSocket("h")),
            ("nbd+unix://:5/x?socket=/s", .hostOfUnixSocket("")),
            ("nbd://h/" + String(repeating: "a", count: 4097), .exportNameLength),
        ] as [(String, NBDURI.ParseError)])
    func refused(text: String, error: NBDURI.ParseError) {
        #expect(throws: error) { try NBDURI(text) }
        #expect(!error.description.isEmpty && !error.description.hasSuffix("."))
    }

    @Test("an export name may have 4096 bytes")
    func longestName() throws {
        let name = String(repeating: "a", count: 4096)
        #expect(try NBDURI("nbd://h/" + name).exportName == name)
    }

    @Test(
        "formatting and parsing a URI returns the same URI",
        arguments: [
            NBDURI(.tcp(host: "localhost", port: 10809)),
            NBDURI(.tcp(host: "::1", port: 5), exportName: "/a b?c#d%e&ü"),
            NBDURI(.tcp(host: "fe80::1%eth0", port: 5), requiresTLS: true),
            NBDURI(.unix(path: "/run/a b&c=d?.sock"), exportName: "x/y", requiresTLS: true),
            NBDURI(.unix(path: "s")),
        ])
    func roundTrip(uri: NBDURI) throws {
        #expect(try NBDURI(uri.description) == uri)
    }

    @Test("a URI is formatted as people write it")
    func text() {
        #expect(NBDURI(.tcp(host: "localhost", port: 10809)).description == "nbd://localhost")
        #expect(
            NBDURI(.tcp(host: "::1", port: 10810), exportName: "a b").description
                == "nbd://[::1]:10810/a%20b")
        #expect(
            NBDURI(.unix(path: "/run/x.sock"), exportName: "d").description
                == "nbd+unix:///d?socket=/run/x.sock")
    }

    @Test("formatting keeps the user name and TLS parameters")
    func textOfTLS() throws {
        let text = "nbds://alice%40home@h:1/x?tls-hostname=a%20b&tls-type=psk"
        #expect(try NBDURI(text).description == text)
    }

    @Test("percent-encoding keeps unreserved characters, and is undone by decoding")
    func percentEncoding() {
        #expect(PercentEncoding.encode("aZ9-._~/: ü%") == "aZ9-._~%2F%3A%20%C3%BC%25")
        #expect(PercentEncoding.encode("/a:b", keeping: "/") == "/a%3Ab")
        #expect(PercentEncoding.decode("%2F%3a%20%C3%bc") == "/: ü")
        for text in ["%", "%4", "%zz", "%00", "%c3%28"] {
            #expect(PercentEncoding.decode(text) == nil, "\(text)")
        }
    }
}
