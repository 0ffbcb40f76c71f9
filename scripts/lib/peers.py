"""Commands that start the NBD servers of other projects, for the benchmark and for the conformance tables.

scripts/lib/kernelpath/guest starts them by itself: it is a shell script inside a virtual machine, and its servers
have options for the kernel as their client.

An address is the path of a Unix socket, or a TCP port of this machine.
"""
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# What --peers of the benchmark and of the conformance suite can be.
CHOICES = ["debian", "newest", "both"]


@dataclass(frozen=True)
class Generation:
    """The programs of other projects in one release of Debian: this machine's, or the newest."""

    name: str
    # The folder of commands that scripts/lib/newest-peers prints; None for this machine's programs.
    folder: Path | None = None

    def command(self, command):
        """The same command with this generation's program, if it has that program."""
        program = self.folder / command[0] if self.folder else None
        return [str(program), *command[1:]] if program and program.exists() else command


DEBIAN = Generation("debian")


def generations(choice):
    """The generations that --peers asks for. Unpacks the newest programs the first time; exits if it cannot."""
    chosen = [DEBIAN] if choice in ("debian", "both") else []
    if choice in ("newest", "both"):
        script = Path(__file__).with_name("newest-peers")
        result = subprocess.run([script], stdout=subprocess.PIPE, text=True)
        if result.returncode != 0:
            sys.exit(result.returncode)
        chosen.append(Generation("newest", Path(result.stdout.strip())))
    return chosen


def nbdkit(address, size, *options, plugin_options=()):
    listen = ["-i", "127.0.0.1", "-p", str(address)] if is_port(address) else ["-U", str(address)]
    return ["nbdkit", "-f", *listen, *options, "memory", str(size), *plugin_options]


def qemu_nbd(address, image, *options):
    listen = ["-b", "127.0.0.1", "-p", str(address)] if is_port(address) else ["-k", str(address)]
    return ["qemu-nbd", "-f", "raw", "-t", "-e", "0", *options, "--discard=unmap", *listen, str(image)]


def nbd_server(address, directory, exports, generic=(), of_each_export=()):
    """Writes nbd-server's configuration to the directory: images by the names of their exports, and more lines for
    either kind of section. The server goes to the background, and writes its pid to `pid` there."""
    listen = (["listenaddr = 127.0.0.1", f"port = {address}"] if is_port(address)
              else [f"unixsock = {address}", "duallisten = false"])
    lines = ["[generic]", *listen, *generic]
    for name, image in exports.items():
        lines += [f"[{name}]", f"exportname = {image}", *of_each_export]
    configuration = Path(directory) / "configuration"
    configuration.write_text("\n".join(lines) + "\n")
    return ["nbd-server", "-C", str(configuration), "-p", str(Path(directory) / "pid")]


def is_port(address):
    return isinstance(address, int)
