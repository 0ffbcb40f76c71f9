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


def main():
    for make in (server_handshake, client_handshake, uris, transmissions, connections):
        make()


if __name__ == "__main__":
    main()
