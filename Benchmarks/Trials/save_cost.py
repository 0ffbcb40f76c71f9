#!/usr/bin/python3
"""Measures how much saves to an image write, and what they cost the requests beside them.

  Benchmarks/Trials/save_cost.py [--rounds N] [--directory DIRECTORY]

Uses the release build, nbd-load and Debian's python3-libnbd. First it saves a sparse disk of 16 GiB with 1 GiB of data,
writes 10 MiB to it in scattered pages of 4 KiB, and saves it again. Then it loads a plain disk of 1 GiB in turns (70 %
reads of 4 KiB, 16 in flight), without saves and while one save follows the other, and prints the 99th percentiles, their
ratios and the ratios of the rates. The images are in DIRECTORY (/var/tmp unless given).
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading

import nbd

sys.dont_write_bytecode = True
from served import BUILD, Served  # noqa: E402

MIB = 1 << 20


def connect(server):
    client = nbd.NBD()
    client.connect_unix(server.socket)
    return client


def written(server):
    """The bytes that the server has passed to write calls, of all files."""
    for line in open(f"/proc/{server.process.pid}/io", encoding="ascii"):
        if line.startswith("wchar:"):
            return int(line.split()[1])


def save(server, name):
    before = written(server)
    stats = server.command("POST", "/saves")
    print(f"{name}: {stats['writtenBytes'] / MIB:.1f} MiB to the image, "
          f"{(written(server) - before) / MIB:.1f} MiB with the files beside it, {stats['seconds']:.2f} s")


def sizes(directory):
    pieces = [index * 16 * MIB for index in range(1024)]
    with Served(directory, "large", "--size", "16G", "--sparse", "--image", f"{directory}/large.img") as server:
        client = connect(server)
        for offset in pieces:
            client.pwrite(os.urandom(MIB), offset)
        save(server, "16 GiB with 1 GiB of data")
        pages = [offset + page * 4096 for offset in pieces for page in range(256)]
        for offset in random.sample(pages, 10 * 256):
            client.pwrite(os.urandom(4096), offset)
        save(server, "after 10 MiB of scattered pages")


def load(server):
    result = subprocess.run(
        [BUILD / "nbd-load", "run", "--workload", "mixed", "--depth", "16", "--seconds", "3", "--warmup", "0.5", "--json",
         f"nbd+unix:///?socket={server.socket}"], check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def load_beside_saves(server):
    is_over = threading.Event()
    count = 0

    def run():
        nonlocal count
        while not is_over.is_set():
            server.command("POST", "/saves")
            count += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return load(server), count
    finally:
        is_over.set()
        thread.join()


def latency(directory, rounds):
    with Served(directory, "busy", "--size", "1G", "--image", f"{directory}/busy.img") as server:
        client = connect(server)
        for offset in range(0, 1 << 30, MIB):
            client.pwrite(os.urandom(MIB), offset)
        server.command("POST", "/saves")
        ratios, rates = [], []
        for _ in range(rounds):
            without = load(server)
            beside, count = load_beside_saves(server)
            ratios.append(beside["latency_p99_us"] / without["latency_p99_us"])
            rates.append(beside["iops"] / without["iops"])
            print(f"99th percentile: {beside['latency_p99_us']:.0f} us beside {count} saves, "
                  f"{without['latency_p99_us']:.0f} us without")
    print(f"ratio of the 99th percentiles: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
          f"of the rates: {statistics.median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--directory", default="/var/tmp", metavar="DIRECTORY")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        sizes(directory)
        latency(directory, options.rounds)


main()
