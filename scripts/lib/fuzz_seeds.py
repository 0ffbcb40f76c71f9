"""Writes the inputs that fuzzing starts from into Fuzz/Corpus: valid conversations.

Fuzz/Sources/NBDFuzz turns bytes into a conversation; this file must follow it.
"""
import itertools
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[2] / "Fuzz/Corpus"


def write(target, name, data):
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"seed-{name}").write_bytes(bytes(data))


def string(text):
    return len(text).to_bytes(4, "big") + text


def option(code, data=b""):
    """A header as fuzzServerHandshake takes it, and the data behind it."""
    return bytes([code]) + len(data).to_bytes(2, "big") + data


def server_handshake():
    info = string(b"disk") + (4).to_bytes(2, "big") + bytes([0, 0, 0, 1, 0, 2, 0, 3])
    query = string(b"disk") + (1).to_bytes(4, "big") + string(b"base:allocation")
    empty = string(b"disk") + bytes(4)
    options = {
        "export-name": option(1, b"disk"), "abort": option(2), "list": option(3),
        "list-data": option(3, b"x"), "starttls": option(5), "info": option(6, info),
        "go": option(7, info), "structured": option(8), "list-meta": option(8) + option(9, query),
        "set-meta": option(8) + option(10, query) + option(7, info),
        "no-queries": option(8) + option(9, empty) + option(10, empty),
        "extended": option(11) + option(10, query) + option(7, info),
        "extended-then-structured": option(11) + option(8) + option(1, b"disk"),
        "tls-then-all": option(5) + option(8) + option(3) + option(7, info),
        "oversize": bytes([0x86, 0, 1, 0, 0, 0, 0, 0, 0]) + option(3),
    }
    for shape, (name, data) in itertools.product([0, 3, 5, 0x80], options.items()):
        write("server-handshake", f"{name}-{shape:02x}", bytes([shape, 0, 0, 0, 3]) + data)


def client_handshake():
    def reply(code, data=b"", is_error=False):
        return bytes([code | (0x40 if is_error else 0)]) + len(data).to_bytes(2, "big") + data

    export = bytes([0, 0]) + (1 << 20).to_bytes(8, "big") + bytes([0, 0xff])
    sizes = bytes([0, 3]) + b"".join(n.to_bytes(4, "big") for n in (1, 4096, 1 << 25))
    replies = {
        "go": reply(3, export) + reply(3, sizes) + reply(1),
        "description": reply(3, bytes([0, 2]) + b"text") + reply(3, export) + reply(1),
        "refused": reply(6, b"no such export", True),
        "unsupported": reply(1, b"", True) + bytes(134),
        "no-export": reply(1),
        "listing": reply(2, string(b"disk") + b"text") + reply(2, string(b"")) + reply(1),
        "short": reply(3, export[:5]),
    }
    for goal, flags, (name, data) in itertools.product([0, 1], [0, 1, 3], replies.items()):
        write("client-handshake", f"{name}-{goal}{flags}", bytes([goal, flags]) + data)


def uris():
    texts = [
        "nbd://localhost", "nbd://localhost:10809/export", "nbds://[::1]:1/", "nbd://u@h//disk",
        "nbd+unix:///?socket=/tmp/s", "nbds+unix:///a%20b?socket=x&tls-type=psk",
        "nbd://h/%00", "nbd://h/%C3%A4", "nbd+unix:///?socket=%00/abstract", "nbd://h?x=1", "NBD://H",
        "nbds://h/?tls-hostname=a&tls-verify-peer=0", "nbd://[fe80::1%25eth0]/", "nbd:///",
    ]
    for number, text in enumerate(texts):
        write("uri", f"{number:02}", text.encode())


def at(page):
    """A position, in pages."""
    return bytes([page << 3])


def order(command, offset, length, flags=0, seed=0x5a, payload=False):
    """A request as Order takes it; flags that are wanted are marked with the highest bit."""
    wish = (0x80 | flags) if flags else 0
    return bytes([command, wish]) + offset + length + (bytes([seed]) if payload else b"")


def transmissions():
    page = [at(n) for n in range(32)]
    stories = {
        "read": order(0, page[0], page[1]) + order(0, page[2], page[4]),
        "write-read": order(1, page[1], page[2], payload=True) + order(0, page[0], page[4]),
        "trim": order(1, page[1], page[2], payload=True) + order(4, page[1], page[1])
        + order(0, page[0], page[4]),
        "zeroes": order(1, page[1], page[3], payload=True) + order(6, page[2], page[1], 2)
        + order(7, page[0], page[8]) + order(0, page[0], page[8]),
        "fast": order(6, page[0], page[8], 16) + order(6, page[0], page[8]),
        "flush": order(3, page[0], page[0]) + order(5, page[0], page[8]),
        "status": order(1, page[3], page[1], payload=True) + order(7, page[0], page[16])
        + order(7, page[0], page[16], 8),
        "fragments": order(1, page[3], page[1], payload=True)
        + order(1, page[5], page[1], payload=True) + order(0, page[0], page[16])
        + order(0, page[0], page[16], 4),
        "odd": order(1, bytes([0x0a, 1, 3]), bytes([0x0a, 2, 7]), payload=True)
        + order(4, bytes([0x0a, 1, 9]), bytes([0x02, 0, 99]))
        + order(0, page[0], page[4]),
        "end": order(0, bytes([4, 10]), bytes([5, 10])) + order(0, bytes([4, 10]), bytes([5, 11]))
        + order(1, bytes([4, 10]), bytes([5, 200]), payload=True),
        "far": order(0, bytes([7]) + b"\xff" * 8, bytes([7]) + b"\xff" * 8),
        "unknown": order(8, page[0], page[1]) + order(0, page[0], page[1], 31),
        "disconnect": order(0, page[0], page[1]) + order(2, page[0], page[0], 0x40),
    }
    for shape, (name, data) in itertools.product(range(4), stories.items()):
        for target in ("simple", "structured", "extended"):
            write(target, f"{name}-{shape}", bytes([shape]) + data)


def connections():
    greet = b"\x00"

    def say(code, name=0, extra=b""):
        return bytes([1 | name << 3, code]) + extra + b"\x00"

    page = [at(n) for n in range(4)]
    requests = {
        "simple": bytes([4]), "structured": bytes([4]), "extended": bytes([6]),
    }
    for kind, marker in requests.items():
        first = {"simple": b"", "structured": say(8), "extended": say(11)}[kind]
        for code, extra in ((1, b""), (7, b"\x04")):
            data = greet + first + say(code, 1, extra)
            for body in (order(0, page[0], page[1]), order(1, page[0], page[1], payload=True)):
                data += marker + body + b"\x00"
            write("connection", f"{kind}-{code}", data)
    write("connection", "list", greet + say(3) + say(6, 1, b"\x04") + say(2))
    write("connection", "contexts", greet + say(8) + say(9, 1) + say(10, 1) + say(7, 1, b"\x00"))
    write("connection", "starttls", greet + say(5) + say(3))
    write("connection", "flags", b"\xff" + bytes([0x20, 0, 0, 0, 7]))


def tls():
    page = [at(n) for n in range(4)]
    write_and_read = bytes([4]) + order(1, page[0], page[2], payload=True) + bytes([4]) \
        + order(0, page[0], page[2])
    steps = {
        "requests": write_and_read,
        "record": bytes([3, 5]) + b"hello" + write_and_read,
        "plain": bytes([0, 5]) + b"hello",
        "unencrypted": bytes([1 | 3 << 3, 5]) + b"hello",
        "alert": bytes([1 | 1 << 3, 2, 1, 0]),
        "long-record": bytes([0x81 | 3 << 3, 0]) + bytes(6) + b"\xff\xff",
        "damaged": bytes([4 | 29 << 3]) + order(0, page[0], page[1]) + bytes([0, 9, 1]),
        "repeated": bytes([4 | 30 << 3]) + order(0, page[0], page[1]),
        "cut": bytes([4 | 31 << 3]) + order(0, page[0], page[1]) + bytes([0, 9]),
    }
    for kind in range(7):
        steps[f"control-{kind}"] = write_and_read + bytes([2 | kind << 3]) + write_and_read
    for shape, (name, data) in itertools.product(range(2), steps.items()):
        write("tls", f"{name}-{shape}", bytes([shape]) + data)


GET, POST, DELETE = 2, 2 | 1 << 3, 2 | 3 << 3
PATHS = ["/healthz", "/metrics", "/stats", "/disks", "/connections", "/trace", "/snapshots", None,
         "/snapshots/rollback", "/clones", None, "/checkpoints", "/checkpoints/commit",
         "/checkpoints/abort", "/saves"]
NAMES = ["disk", "name", None, "force", "full", "snapshot", "path", "command", "export", "count",
         "connection", "offset", "min_latency"]
VALUES = ["disk", "other", "a", "b", "c", "true", "false", "disk%40a", "read,write", "1", "0-4095",
          "100us", "/image", "/other.img"]


def request(method, resource, headers=0, **parameters):
    """A request as fuzzControl takes it."""
    data = bytes([method, PATHS.index(resource) | len(parameters) << 4])
    for name, value in parameters.items():
        data += bytes([NAMES.index(name), VALUES.index(value)])
    return data + bytes([headers])


def control():
    change = bytes([1, 3]) + bytes([1, 9])
    snapshot = request(POST, "/snapshots", name="a")
    stories = {
        "reads": b"".join(request(GET, path) for path in PATHS[:5]),
        "trace": request(GET, "/trace", command="read,write", count="1", offset="0-4095",
                         min_latency="100us", connection="1", export="disk"),
        "snapshot": snapshot + change + request(POST, "/snapshots/rollback", name="a")
        + request(DELETE, "/snapshots", name="a"),
        "clone": request(POST, "/clones", name="b") + request(GET, "/clones")
        + request(DELETE, "/clones", name="b", force="true"),
        "clone-of-snapshot": snapshot + request(POST, "/clones", name="b", snapshot="a")
        + request(POST, "/snapshots", disk="b", name="c"),
        "checkpoint": request(POST, "/checkpoints", name="a") + change
        + request(POST, "/checkpoints/commit", name="a")
        + request(POST, "/checkpoints", name="b", full="true")
        + request(POST, "/checkpoints/abort", name="b") + request(GET, "/checkpoints"),
        "save": change + request(POST, "/saves") + change
        + request(POST, "/saves", disk="other", path="/other.img") + request(GET, "/saves"),
        "missing": request(DELETE, "/snapshots", name="c") + request(DELETE, "/clones", name="c"),
        "lost": snapshot + b"".join(bytes([1, page]) for page in range(80))
        + request(GET, "/snapshots") + request(POST, "/clones", name="b", snapshot="a"),
        "other-methods": b"".join(
            request(2 | method << 3, "/snapshots") for method in (5, 6, 7)),
        "old": request(GET | 0x40, "/stats") + request(GET, "/stats", 2),
        "not-http": bytes([0, 6]) + b"hello\n",
    }
    for kind in range(1, 8):
        stories[f"body-{kind}"] = request(POST, "/snapshots", kind << 5, name="a") + bytes(8)
    for shape, (name, data) in itertools.product([0, 0x0f, 0x30], stories.items()):
        write("control", f"{name}-{shape:02x}", bytes([shape]) + data)


def http_responses():
    body = b'{"a": 1}\n'
    length = b"Content-Length: %d\r\n" % len(body)
    responses = {
        "length": b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + body,
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9;x=1\r\n" + body
        + b"\r\n0\r\nX: y\r\n\r\n",
        "to-end": b"HTTP/1.0 200 OK\r\n\r\n" + body,
        "error": b"HTTP/1.1 409 Conflict\r\nExit-Code: 69\r\n" + length + b"\r\n" + body,
        "nothing": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "huge": b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n" + body,
        "huge-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n",
    }
    for name, data in responses.items():
        for piece in (0, 15):
            write("http-response", f"{name}-{piece:02}", bytes([piece]) + data)


def samples():
    """Numbers to replace in the samples of Fuzz/Sources/NBDFuzz/Samples.swift, and texts in their place."""
    for target in ("statistics", "trace"):
        write(target, "plain", bytes([0x70]))
        for extreme in range(8):
            for first in range(0, 64, 16):
                pairs = b"".join(bytes([index, extreme]) for index in range(first, first + 16))
                write(target, f"numbers-{extreme}-{first:02}", bytes([0x70]) + pairs)
    write("statistics", "text", b"\x78[]")
    write("trace", "text", b'\x08{"type": "end", "timeNanoseconds": 1, "toldRequests": 1, '
          b'"droppedRequests": 0}\n')


def netlink():
    def attribute(kind, payload):
        padding = bytes(-len(payload) % 4)
        return (4 + len(payload)).to_bytes(2, "little") + kind.to_bytes(2, "little") + payload \
            + padding

    def message(kind, payload, sequence=1):
        head = (16 + len(payload)).to_bytes(4, "little") + kind.to_bytes(2, "little") + bytes(2)
        return head + sequence.to_bytes(4, "little") + bytes(4) + payload

    def device(index, connected):
        parts = attribute(1, index.to_bytes(4, "little")) + attribute(2, bytes([connected]))
        return attribute(0x8001, parts)

    devices = attribute(0x8009, device(0, 1) + device(1, 0))
    success = message(2, bytes(4))
    datagrams = {
        "family": message(16, bytes([1, 2, 0, 0]) + attribute(2, b"nbd\0")
                          + attribute(1, (30).to_bytes(2, "little"))) + success,
        "status": message(30, bytes([5, 0, 0, 0]) + devices) + success,
        "connect": message(30, bytes([1, 0, 0, 0]) + attribute(1, (3).to_bytes(4, "little"))),
        "error": message(2, (-2).to_bytes(4, "little", signed=True) + bytes(16)),
        "done": message(3, b""), "late": message(2, bytes(4), sequence=9),
        "short": message(30, bytes([5]))[:18],
    }
    for name, data in datagrams.items():
        write("netlink", name, bytes([1, len(data)]) + data)
    write("netlink", "made", bytes([0, 2, 0x0f, 2, 0x29, 2, 0x21, 1, 1, 1, 9, 0x12, 1]))


def files():
    text = "supervisor 7 123\nsize 65536\nqueues 2\nidentifier ramdisk-nbd:memory=00\n" \
        "worker 8 124\ndevice /dev/nbd3\nmount /mnt/a\\n\\\\b\nmade-directories 2\n" \
        "detaching yes\nfilesystem ext4\nbacking a\nbacking-directory /dev/shm\nkeep yes\n" \
        "huge-pages yes\nimage /srv/a.img\nfailed-save 2 no space\nlog /run/log\n"
    write("record", "text", b"\x01" + text.encode())
    changes = {"supervisor": ("7 123", "-1 0"), "worker": ("8 124", "0 0"),
               "queues": ("queues 2", "queues -2"), "directories": ("directories 2", "directories -2"),
               "end": ("/a\\n", "/a\r"), "line": ("size", "\r\nsize")}
    for name, (old, new) in changes.items():
        assert old in text
        write("record", f"text-{name}", b"\x01" + text.replace(old, new, 1).encode())
    for index, part in enumerate((b"a b", b"a\r", b"\n\r\n", b"\\n\\", "\u0301a".encode(), b"\xff")):
        piece = bytes([len(part)]) + part
        write("record", f"made-{index}", bytes([0, 5]) + bytes(7) + b"\x01\xff" + piece * 9)

    lines = ['command = "serve"', 'size = "1G"', "size = 4096", 'listen = ["a", \'b\', 3,]  # c',
             'image = "/srv/\\u00e9\\t.img"', "daemon = true", "daemon = 1", "[table]", "a.b = 1",
             'size = """a"""', "list = [", "size = 1_0", "size = 0x1", 'size = "a', "\x01", "zise = 1"]
    for index, line in enumerate(lines):
        write("configuration", f"{index:02}", f"{lines[0]}\n{line}\r\n# end\n".encode())
    write("configuration", "all", "\n".join(lines).encode())

    word = (5).to_bytes(8, "little")
    for letter, payload in {b"S": b"", b"K": b"", b"R": b"", b"V": b"", b"M": b"/mnt", b"F": word,
                            b"f": word + b"why", b"T": word, b"v": b"why", b"r": bytes(19),
                            b"e": word}.items():
        write("worker-message", letter.hex(), letter + bytes([len(payload)]) + payload)


def backings():
    # Style bytes for numbers: a power of two, less a byte, more a byte.
    powers = {"size": 1, "offset": 2, "page": 4}
    write("backing", "good", bytes([0]) + bytes(8) + b"\x60")
    write("backing", "other-size", bytes([32]) + bytes(8) + b"\x60")
    write("backing", "killed", bytes([128]) + bytes(2) + b"\x00\x01\x00\x00\x00\x07" + b"\x60")
    write("backing", "damaged", bytes([8]) + bytes(8) + bytes([20, 1]) + b"\x60")
    write("backing", "length", bytes([16]) + bytes(8) + b"\x60" + bytes([21]))
    # What was found has the names in slot 1, and pages that have changed.
    found = bytes([0]) + bytes(8) + b"\x60"
    slot = bytes([4, 3]) + b"ab"
    for name, shape, bitmap in (("names", 3, 0x55), ("second-slot", 5, 0xff), ("no-slot", 1, 1),
                                ("bad-slot", 7, 0), ("damaged-names", 0x13, 1)):
        write("backing", name, found + bytes([shape, 1]) + slot * 2 + bytes([bitmap, 0]))
    for name, bit in powers.items():
        for style in (12, 21, 40, 62, 63, 0x40 | 12, 0x80 | 21):
            write("backing", f"{name}-{style}", bytes([bit | 64, style, 1]) + bytes(8) + b"\x60")


def images():
    nothing = bytes(5)
    page = bytes([7, 0x55])
    saved = bytes([1, 0, 2]) + page * 2
    use = bytes([2])
    stories = {
        "new": bytes([0, 1, 0]) + nothing + use,
        "saved": saved + bytes([0]) + nothing + use,
        "journal": saved + bytes([0x19, 0x33, 3, 0, 9, 0, 2, 1, 12]) + bytes(8) + bytes([1])
        + bytes(8) + nothing + use,
        "cut-journal": saved + bytes([0x59, 0x33, 3, 0, 9, 0]) + nothing + use,
        "stray-journal": saved + bytes([0x1d, 9, 0x33, 3, 0, 9, 0, 9]) + bytes(9) + nothing + use,
        "bad-image": saved + bytes([0, 4, 0x10, 0, 9, 0, 0, 0, 0]) + use,
        "no-state": saved + bytes([0, 0, 0, 0x30, 0, 0]) + use,
        "short": saved + bytes([0, 0x40, 0, 0, 0, 0]) + use,
        "state": saved + bytes([0, 0, 0, 2, 20, 62, 2, 1]) + bytes(12) + use,
        "last-generation": saved + bytes([0, 0, 0, 2, 20, 0xff]) + b"\xff" * 8 + bytes(4) + use,
        "sealed": saved + bytes([0, 0, 0, 12, 0, 30, 1, 0, 0]) + use,
    }
    for name, data in stories.items():
        write("image", name, data)


def main():
    for make in (server_handshake, client_handshake, uris, transmissions, connections, tls, control,
                 http_responses, samples, netlink, files, backings, images):
        make()


if __name__ == "__main__":
    main()
