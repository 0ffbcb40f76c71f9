#!/usr/bin/python3
"""Measures how long taking a snapshot stops requests.

Usage: snapshot_pause.py PROGRAM SECONDS SIZE_GIB WRITTEN_GIB [OPTION...]

Serves a disk with the OPTIONs of `serve`, writes 1 MiB pieces all over it, and then sends 4 KiB reads and writes one at a
time, while a second process takes and deletes snapshots. For each snapshot it notes the longest request from the begin of
the command to 5 ms after its end, and beside that the longest request in as much time 20 ms earlier, without a snapshot.
Client and server run at real-time priority, or the other programs of the machine would be measured; needs root.
"""

import bisect
import gc
import http.client
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
AFTER = 5_000_000  # nanoseconds


class Control(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def command(control, method, name):
    connection = Control(control)
    connection.request(method, f"/snapshots?name={name}")
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 200, response.status


class Client:
    def __init__(self, path):
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.05)
        self.receive(18)
        self.socket.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 0))
        self.receive(10)

    def receive(self, count):
        data = b""
        while len(data) < count:
            data += self.socket.recv(count - len(data))
        return data

    def request(self, kind, offset, count, data=b""):
        header = struct.pack(">IHHQQI", 0x25609513, 0, kind, 7, offset, count)
        self.socket.sendall(header + data)
        reply = self.receive(16 + (0 if kind else count))
        assert reply[4:8] == bytes(4)


def take_snapshots(control, seconds, pipe):
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(11))
    end = time.monotonic() + seconds - 0.2
    number = 0
    while time.monotonic() < end:
        time.sleep(0.04)
        begin = time.monotonic_ns()
        command(control, "POST", f"s{number}")
        os.write(pipe, f"{begin} {time.monotonic_ns()}\n".encode())
        time.sleep(0.03)
        command(control, "DELETE", f"s{number}")
        number += 1


def measure(client, control, seconds, offsets):
    """Returns the begin and end of each request, and of each snapshot's command, in nanoseconds."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        take_snapshots(control, seconds, writer)
        os._exit(0)
    os.close(writer)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    page = os.urandom(4096)
    requests = []
    clock = time.monotonic_ns
    end = clock() + int(seconds * 1e9)
    while clock() < end:
        offset = random.choice(offsets) + random.randrange(256) * 4096
        kind = random.randrange(2)
        begin = clock()
        client.request(kind, offset, 4096, page if kind else b"")
        requests.append((begin, clock()))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.wait()
    lines = open(reader, encoding="ascii").read().splitlines()
    return requests, [tuple(map(int, line.split())) for line in lines]


def show(name, windows, requests, begins):
    longest = []
    for begin, end in windows:
        first = max(0, bisect.bisect_left(begins, begin) - 1)
        last = bisect.bisect_right(begins, end)
        longest.append(max((b - a) / 1e3 for a, b in requests[first:last]))
    longest.sort()
    places = [(f"{place} %", longest[min(len(longest) - 1, len(longest) * place // 100)]) for place in (50, 75, 90, 99)]
    print(
        f"longest request {name}, of {len(longest)}:",
        ", ".join(f"{title} {value:.0f} us" for title, value in places),
        f", 1 to 20 ms: {sum(1000 < value < 20000 for value in longest)}",
        f", longer: {sum(value >= 20000 for value in longest)}",
    )


def main():
    program, seconds, size, written = sys.argv[1], *map(int, sys.argv[2:5])
    gc.disable()
    with tempfile.TemporaryDirectory() as directory:
        sockets = f"{directory}/nbd", f"{directory}/control"
        server = subprocess.Popen(
            ["chrt", "-f", "10", program, "serve", "--unix", sockets[0], "--control", sockets[1]]
            + ["--size", f"{size}G", "--log-level", "error"] + sys.argv[5:], stdout=subprocess.DEVNULL)
        try:
            client = Client(sockets[0])
            pieces = written << 10
            offsets = [piece * ((size << 30) // pieces) & ~4095 for piece in range(pieces)]
            block = os.urandom(MIB)
            for offset in offsets:
                client.request(1, offset, MIB, block)
            requests, snapshots = measure(client, sockets[1], seconds, offsets)
        finally:
            server.terminate()
            server.wait()
    begins = [begin for begin, _ in requests]
    show("with a snapshot", [(a, b + AFTER) for a, b in snapshots], requests, begins)
    show("without", [(a - 4 * AFTER, b - 3 * AFTER) for a, b in snapshots], requests, begins)


main()
