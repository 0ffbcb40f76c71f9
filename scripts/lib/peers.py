"""Commands that start the NBD servers of other projects, for the benchmark and for the conformance tables.

An address is the path of a Unix socket, or a TCP port of this machine.
"""
from pathlib import Path


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
