"""The servers that are compared, each configured for speed."""
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import peers

from .processes import is_alive, wait_for

SIZE = 40 << 20
# The size of disks that a load copies whole: a copy must take longer than a handshake.
COPIED_SIZE = 256 << 20
PEERS = ["nbdkit", "nbdkit-malloc", "qemu-nbd", "nbd-server", "stream"]


class Unavailable(Exception):
    """A contender did not start; the message says why."""


class Contender:
    """A server. `title` is its name in tables; `is_limit` marks a program that is not an NBD server but an upper limit."""

    is_limit = False
    exported = ""
    # Whether nbdcopy can use it with TLS.
    speaks_tls = False
    # The names of the only rows for this contender; None for all.
    rows = None

    def __init__(self, name, title):
        self.name = name
        self.title = title
        self.example = ""

    def command(self, place):
        """Returns the command of a server at a place."""
        raise NotImplementedError

    def version(self):
        """Returns one line, or an empty one."""
        return ""

    def start(self, processes, kind, name=None, environment=None, size=None):
        """Starts the server on a socket of this kind, and returns it. Another name gives it files of
        its own. `environment` is added to the variables of this process. `size` is that of the disk in
        bytes, if not the usual one."""
        place = Place(processes.directory, self, kind, name or self.name, size)
        command = self.command(place)
        if not self.example:
            self.example = " ".join(str(part) for part in command).replace(
                str(processes.directory), "DIR")
        if shutil.which(command[0]) is None:
            raise Unavailable(f"{command[0]} is not installed")
        log = place.directory / "log"
        with open(log, "w") as output:
            process = processes.start(command, stdout=output, stderr=output,
                                      env={**os.environ, **(environment or {})})
        if not wait_for(lambda: place.is_listening() or process.poll() not in (None, 0), 10):
            raise Unavailable(f"{self.title} does not listen")
        if process.poll() not in (None, 0):
            raise Unavailable(f"{self.title} ended: {log.read_text().strip()[-300:]}")
        return Server(self, processes, self.pid_of(processes, place, process), place)

    def pid_of(self, processes, place, process):
        """Returns the pid of the process that serves."""
        return process.pid


class Place:
    """The address and the files of one server."""

    def __init__(self, directory, contender, kind, name, size=None):
        self.kind = kind
        self.directory = directory / f"{name}-{kind}"
        self.directory.mkdir(exist_ok=True)
        self.socket = self.directory / "socket"
        self.socket.unlink(missing_ok=True)
        self.port = free_port() if kind == "tcp" else None
        self.address = self.port or self.socket
        self.size = size or (COPIED_SIZE if kind == "tls" else SIZE)
        # The folder of the certificates of both sides, with TLS.
        self.certificates = directory / "certificates" if kind == "tls" else None
        unix = f"+unix:///{contender.exported}?socket={self.socket}"
        self.uri = {
            "tcp": f"nbd://127.0.0.1:{self.port}/{contender.exported}",
            "unix": f"nbd{unix}",
            "tls": f"nbds{unix}&tls-certificates={self.certificates}",
        }[kind]

    def is_listening(self):
        """Returns whether a server listens."""
        family = socket.AF_INET if self.kind == "tcp" else socket.AF_UNIX
        address = ("127.0.0.1", self.port) if self.kind == "tcp" else str(self.socket)
        with socket.socket(family) as probe:
            return probe.connect_ex(address) == 0

    def image(self):
        """Makes a file in memory, full of data."""
        path = self.directory / "image"
        path.write_bytes(os.urandom(1 << 20) * (self.size >> 20))
        return path


class Server:
    """A running contender."""

    def __init__(self, contender, processes, pid, place):
        self.contender = contender
        self.processes = processes
        self.pid = pid
        self.uri = place.uri
        self.kind = place.kind
        self.size = place.size
        self.processors = None

    def bind(self, processors):
        """Binds all of its threads to these processors."""
        if processors != self.processors:
            subprocess.run(
                ["taskset", "-a", "-p", "-c", ",".join(map(str, processors)), str(self.pid)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            self.processors = processors

    def is_alive(self):
        return is_alive(self.pid)

    def stop(self):
        self.processes.stop(self.pid)


class RamdiskNBD(Contender):
    speaks_tls = True

    def __init__(self, program, options, name="ramdisk-nbd", title="ramdisk-nbd", rows=None):
        super().__init__(name, title)
        self.program = str(program)
        self.options = options
        self.rows = rows

    def command(self, place):
        listen = (["--listen", f"127.0.0.1:{place.port}"] if place.kind == "tcp"
                  else ["--unix", str(place.socket)])
        tls = ["--tls-certificates", str(place.certificates)] if place.certificates else []
        return [self.program, "serve", "--size", str(place.size), *listen, *tls, *self.options]

    def version(self):
        return first_line([self.program, "--version"])


class Nbdkit(Contender):
    speaks_tls = True

    def __init__(self, name, title, *plugin_options):
        super().__init__(name, title)
        self.plugin_options = plugin_options

    def command(self, place):
        tls = (["--tls=require", f"--tls-certificates={place.certificates}"]
               if place.certificates else [])
        return peers.nbdkit(place.address, place.size, *tls, plugin_options=self.plugin_options)

    def version(self):
        return first_line(["nbdkit", "--version"])


class QemuNbd(Contender):
    speaks_tls = True

    def command(self, place):
        tls = (["--object", "tls-creds-x509,id=tls,endpoint=server,verify-peer=no,"
                f"dir={place.certificates}", "--tls-creds", "tls"] if place.certificates else [])
        # On a file in memory, io_uring is faster than qemu-nbd's threads and than O_DIRECT.
        return peers.qemu_nbd(place.address, place.image(), "--cache=writeback", "--aio=io_uring", *tls)

    def version(self):
        return first_line(["qemu-nbd", "--version"])


class NbdServer(Contender):
    exported = "disk"

    def command(self, place):
        # One thread for each connection: more only pass the work around. No splice: it is slower here.
        return peers.nbd_server(
            place.address, place.directory, {self.exported: place.image()}, ["max_threads = 1"],
            ["sync = false", "flush = true", "rotational = false", "splice = false"])

    def pid_of(self, processes, place, process):
        """Reads the pid from a file, since nbd-server goes to the background."""
        path = place.directory / "pid"
        if not wait_for(lambda: path.exists() and path.read_text().strip(), 5):
            raise Unavailable("nbd-server wrote no pid file")
        pid = int(path.read_text())
        processes.adopt(pid, process)
        return pid

    def version(self):
        return first_line(["nbd-server", "-V"])


class PlainStream(Contender):
    """The same bytes over the same kind of socket, without NBD."""

    is_limit = True

    def __init__(self, program):
        super().__init__("stream", "plain stream")
        self.program = str(program)

    def command(self, place):
        return [self.program, "stream-server", "--size", str(SIZE), place.uri]


def all_of(release, options):
    """Returns every selected contender, ramdisk-nbd first."""
    chosen = options.peers or PEERS
    extra = options.server_options.split()
    peers = {
        "nbdkit": Nbdkit("nbdkit", "nbdkit memory"),
        "nbdkit-malloc": Nbdkit("nbdkit-malloc", "nbdkit memory, malloc", "allocator=malloc"),
        "qemu-nbd": QemuNbd("qemu-nbd", "qemu-nbd, tmpfs"),
        "nbd-server": NbdServer("nbd-server", "nbd-server, tmpfs"),
        "stream": PlainStream(release / "nbd-load"),
    }
    also = [RamdiskNBD(Path(path).resolve(), extra, name, f"ramdisk-nbd, {name}")
            for name, _, path in (entry.partition("=") for entry in options.also)]
    # Shows what counting costs, with the load where it costs most.
    uncounted = RamdiskNBD(release / "ramdisk-nbd", [*extra, "--no-stats"], "no-stats",
                           "ramdisk-nbd --no-stats", ["read-4k"])
    return [RamdiskNBD(release / "ramdisk-nbd", extra), *also, uncounted,
            *(peers[name] for name in PEERS if name in chosen)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_line(command):
    """Returns the first line that a program prints about its version."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    line = (result.stdout + result.stderr).strip().partition("\n")[0]
    return re.sub(r"^This is ", "", line)
