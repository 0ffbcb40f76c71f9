"""A client of NBD servers that can send what is invalid: it encodes messages itself, and checks the form of answers."""
import collections
import socket
import struct

# Seconds after which a server that does not answer counts as silent.
PATIENCE = 60
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
NAMES = ["READ", "WRITE", "DISC", "FLUSH", "TRIM", "CACHE", "WRITE_ZEROES", "BLOCK_STATUS"]
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO = 1, 2, 4, 8, 16
ERRORS = {0: "success", 1: "EPERM", 5: "EIO", 12: "ENOMEM", 22: "EINVAL", 28: "ENOSPC", 75: "EOVERFLOW",
          95: "ENOTSUP", 108: "ESHUTDOWN"}
MIB = 1 << 20
MAGIC = 0x25609513

Request = collections.namedtuple("Request", "command flags offset length payload magic", defaults=(b"", MAGIC))


def describe(request):
    name = NAMES[request.command] if request.command < 8 else f"command {request.command}"
    return f"{name} offset {request.offset} length {request.length} flags {request.flags:#x}" + (
        "" if request.magic == MAGIC else f" magic {request.magic:#x}")


def encode(request, cookie):
    return struct.pack(">IHHQQI", request.magic, request.flags, request.command, cookie, request.offset,
                       request.length) + request.payload


class Closed(Exception):
    """The server has closed the connection."""


class Client:
    """A connection to a server, whose messages are encoded here, since no library sends what is invalid."""

    def __init__(self, path, structured=False, context=False, export=b""):
        self.structured = structured
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))
        self.receive(18)
        self.socket.sendall(struct.pack(">I", 3))
        if structured:
            self.option(8)
        if structured and context:
            name = b"base:allocation"
            self.option(10, struct.pack(">I", len(export)) + export + struct.pack(">II", 1, len(name)) + name)
        self.option(7, struct.pack(">I", len(export)) + export + bytes(2))

    def option(self, code, data=b""):
        self.socket.sendall(b"IHAVEOPT" + struct.pack(">II", code, len(data)) + data)
        reply = None
        while reply != 1:
            _, _, reply, length = struct.unpack(">QIII", self.receive(20))
            self.receive(length)
            if reply >= 1 << 31:
                raise RuntimeError(f"option {code} is refused")

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            try:
                piece = self.socket.recv(min(count - len(data), MIB))
            except ConnectionError:
                piece = b""
            if not piece:
                raise Closed
            data += piece
        return bytes(data)

    def perform(self, request, cookie):
        """Returns the error, the data of a READ, and the extents of a BLOCK_STATUS."""
        self.send(request, cookie)
        return self.reply(request, cookie)

    def send(self, request, cookie):
        try:
            self.socket.sendall(encode(request, cookie))
        except ConnectionError:
            raise Closed from None

    def reply(self, request, cookie):
        data = bytearray(request.length if request.command == READ and request.length <= MIB else 0)
        error, covered, extents = 0, 0, []
        while True:
            magic = self.receive(4)
            if magic == b"\x67\x44\x66\x98":
                error, own = struct.unpack(">IQ", self.receive(12))
                assert own == cookie, "a reply to another request"
                assert not (self.structured and request.command == READ and not error), "a simple reply to READ"
                if request.command == READ and not error:
                    data = self.receive(request.length)
                return error, bytes(data), extents
            assert magic == b"\x66\x8e\x33\xef" and self.structured, f"a reply begins with {magic.hex()}"
            flags, kind, own, length = struct.unpack(">HHQI", self.receive(16))
            assert own == cookie, "a chunk of a reply to another request"
            payload = self.receive(length)
            if kind == 1 or kind == 2:
                start = struct.unpack_from(">Q", payload)[0] - request.offset
                content = payload[8:] if kind == 1 else bytes(struct.unpack_from(">I", payload, 8)[0])
                data[start:start + len(content)] = content
                covered += len(content)
            elif kind == 5:
                extents += list(struct.iter_unpack(">II", payload[4:]))
            elif kind >= 1 << 15:
                error = struct.unpack_from(">I", payload)[0]
            if flags & 1:
                assert error or request.command != READ or covered == request.length, "an incomplete READ"
                return error, bytes(data), extents

    def close(self):
        self.socket.close()
