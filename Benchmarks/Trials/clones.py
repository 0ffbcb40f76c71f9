#!/usr/bin/python3
"""Measures clones: what they cost while idle, and how fast they are read and written.

  Benchmarks/Trials/clones.py [--clones N] [--rounds N]

Uses the release build, nbd-load and Debian's python3-libnbd. It makes a template of 4 GiB with 1 GiB of data, clones
it, writes 64 MiB to each of 20 clones, and deletes them. Then it compares a clone with a plain disk of the same
512 MiB, in turns: processor time of the server for each request, and the rate.
"""
import argparse
import os
import sys
import tempfile
import time

import nbd

sys.dont_write_bytecode = True
from served import Served, compare, report  # noqa: E402

MIB = 1 << 20


def make_image(path, size, data):
    """A sparse file with 1 MiB of data after each hole, and `data` bytes of it in all."""
    piece = os.urandom(MIB)
    with open(path, "wb") as file:
        file.truncate(size)
        for index in range(data // MIB):
            file.seek(index * (size // (data // MIB)))
            file.write(piece)


def idle(directory, count):
    make_image(f"{directory}/golden", 4 << 30, 1 << 30)
    with Served(directory, "idle", "--template", f"{directory}/golden") as server:
        template = server.memory()
        start = time.monotonic()
        for index in range(count):
            server.command("POST", f"/clones?disk=&name=c{index}")
        seconds = time.monotonic() - start
        clones = server.memory()
        print(f"template: {template:.0f} MiB; {count} clones in {seconds:.2f} s, "
              f"{(clones - template) * 1024 / count:.1f} KiB each")
        for index in range(20):
            client = nbd.NBD()
            client.connect_uri(f"nbd+unix:///c{index}?socket={server.socket}")
            for offset in range(0, 64 * MIB, MIB):
                client.pwrite(b"x" * MIB, (1 << 30) + offset)
            client.shutdown()
        written = server.memory()
        print(f"1280 MiB written to 20 of them: {written - clones:.0f} MiB more")
        start = time.monotonic()
        for index in range(20):
            server.command("DELETE", f"/clones?name=c{index}&force=true")
        while server.memory() - clones > 0.01 * 1280 and time.monotonic() - start < 5:
            time.sleep(0.01)
        print(f"deleted: {written - server.memory():.0f} MiB less after {time.monotonic() - start:.2f} s")


def rates(directory, rounds):
    image = f"{directory}/full"
    make_image(image, 512 * MIB, 512 * MIB)
    with Served(directory, "plain", "--load", image) as plain, \
            Served(directory, "clone", "--template", image) as clone:
        for workload, block, depth in [("read", "4K", 128), ("write", "4K", 128), ("read", "128K", 8)]:
            report(f"{workload} {block}, clone and plain disk",
                   *compare(plain, clone, rounds, workload, block, depth))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=int, default=1000, metavar="N")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        idle(directory, options.clones)
        rates(directory, options.rounds)


main()
