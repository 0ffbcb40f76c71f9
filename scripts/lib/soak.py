"""Loads a server for hours with clients of every kind, and compares what it holds with a model; see scripts/soak.

The model is a file in memory that all processes map. A writer owns a part of the disk, and of the model: nobody else
writes there. The last part is of clients that send what is invalid; no model knows what they have written.
"""
import argparse
import http.client
import json
import mmap
import multiprocessing
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from raw_client import (CACHE, FLUSH, MIB, READ, STATUS, TRIM, WRITE, ZEROES, Client, Closed, Request, encode)

PART = 12 * MIB
WRITERS = 4
SIZE = (WRITERS + 1) * PART
HOSTILE = WRITERS * PART
# Milliseconds after which the server gives up a message that stalls.
STALL = 2000
# Seconds after which the server has surely done what a connection that was cut has left.
SETTLED = 5
# Seconds for the clients, and then for the server, to finish after a cycle.
PATIENCE = 120
# What may be more at the end than after the first cycle.
ROOM_BYTES, ROOM_DESCRIPTORS, ROOM_THREADS = 16 * MIB, 2, 2


# MARK: - The control socket

class ControlConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)


def control(path, method, target):
    """Returns the status and the body of a response; the body is parsed if it is JSON."""
    connection = ControlConnection(path)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status < 500, f"{method} {target}: {response.status} {body!r}"
    is_json = response.status == 200 and response.headers["content-type"] == "application/json"
    return response.status, json.loads(body) if is_json else body


# MARK: - Writers

class Writer:
    """A client that writes to its part of the disk, and verifies it. Sometimes it leaves in the middle of a message."""

    def __init__(self, place, index, seed):
        self.place, self.start, self.rng = place, index * PART, random.Random(seed)
        self.client = None
        # Ranges that a request has left uncertain: time, offset, bytes before, bytes after.
        self.uncertain = []

    def run(self, stop, count):
        while not stop.is_set():
            if self.client is None:
                self.client = Client(self.place.socket, structured=self.rng.random() < 0.5)
            self.resolve(before=time.monotonic() - SETTLED)
            offset, length = self.free_range()
            if not self.rng.randrange(300):
                self.leave(offset, length)
            elif not self.rng.randrange(300):
                self.client.close()
                self.client = None
            else:
                self.request(offset, length)
            count.value += 1
        if self.uncertain:
            time.sleep(SETTLED)
        if self.client is None:
            self.client = Client(self.place.socket)
        self.resolve(before=time.monotonic())
        self.client.close()

    def free_range(self):
        while True:
            length = self.rng.choice([512, 4096, 4096, 65536, self.rng.randrange(1, 200_000)])
            offset = self.start + self.rng.randrange(PART - length)
            if not self.rng.randrange(3):
                offset &= ~4095
            if all(offset + length <= at or at + len(old) <= offset for _, at, old, _ in self.uncertain):
                return offset, length

    def perform(self, request):
        error, data, _ = self.client.perform(request, self.rng.getrandbits(64))
        assert not error, f"{request.command} at {request.offset}: error {error}"
        return data

    def request(self, offset, length):
        model, end = self.place.model, offset + length
        command = self.rng.choice([READ, READ, WRITE, WRITE, WRITE, ZEROES, TRIM, FLUSH, CACHE])
        if command == READ:
            data = self.perform(Request(READ, 0, offset, length))
            assert data == model[offset:end], f"READ of {length} at {offset} returns other bytes than were written"
        elif command == WRITE:
            data = self.rng.randbytes(length)
            self.perform(Request(WRITE, 0, offset, length, data))
            model[offset:end] = data
        elif command in (ZEROES, TRIM):
            self.perform(Request(command, 0, offset, length))
            model[offset:end] = bytes(length)
        else:
            self.perform(Request(command, 0, 0 if command == FLUSH else offset, 0 if command == FLUSH else length))

    def leave(self, offset, length):
        """Sends a part of a WRITE, or all of it without waiting for the reply, and closes the connection."""
        data = self.rng.randbytes(length)
        message = encode(Request(WRITE, 0, offset, length, data), 1)
        cut = self.rng.randrange(len(message) + 1)
        self.uncertain.append((time.monotonic(), offset, self.place.model[offset:offset + length], data))
        try:
            self.client.socket.sendall(message[:cut])
            if self.rng.randrange(2):
                # The kernel then drops what the server has not received, and tells it of an error.
                self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.client.close()
        self.client = None

    def resolve(self, before):
        for item in [item for item in self.uncertain if item[0] <= before]:
            _, offset, old, new = item
            data = self.perform(Request(READ, 0, offset, len(old)))
            assert all(byte in pair for byte, pair in zip(data, zip(old, new))), \
                f"a WRITE at {offset} that was cut off has left other bytes"
            self.place.model[offset:offset + len(old)] = data
            self.uncertain.remove(item)


# MARK: - Other clients

def stall(place, rng, count):
    """Holds connections that stop in the middle of a message, or take no replies."""
    clients = [Client(place.socket) for _ in range(4)]
    for client in clients:
        if rng.randrange(2):
            client.socket.sendall(encode(Request(WRITE, 0, HOSTILE, 4096, bytes(4096)), 1)[:rng.randrange(1, 4000)])
        else:
            client.socket.setblocking(False)
            try:
                for cookie in range(64):
                    client.socket.send(encode(Request(READ, 0, 0, MIB), cookie))
            except OSError:
                pass
    time.sleep(rng.choice([0.1, 1, STALL / 1000 + 1]))
    for client in clients:
        client.close()
    count.value += 4


def flood(place, rng, count):
    """Sends hundreds of requests before it takes the first reply."""
    client = Client(place.socket)
    requests = [Request(READ, 0, rng.randrange(SIZE - 4096), 4096) for _ in range(rng.randrange(1, 400))]
    client.socket.sendall(b"".join(encode(request, cookie) for cookie, request in enumerate(requests)))
    for cookie, request in enumerate(requests):
        error, _, _ = client.reply(request, cookie)
        assert not error, f"a READ in a flood fails: {error}"
    client.close()
    count.value += len(requests)


def send_invalid(place, rng, count):
    """Sends requests with any flags, ranges and commands, and in the end bytes that are no request."""
    client = Client(place.socket, structured=bool(rng.randrange(2)))
    try:
        for _ in range(rng.randrange(1, 60)):
            command = rng.choice([READ, WRITE, FLUSH, TRIM, CACHE, ZEROES, STATUS, rng.randrange(8, 65536)])
            length = rng.choice([0, 1, 4096, 5000, rng.randrange(MIB), rng.getrandbits(32)])
            # Changes stay in the part that nobody verifies, or are beyond the end.
            offset = rng.choice([HOSTILE + rng.randrange(PART), SIZE - 100, SIZE + 1, rng.getrandbits(64) | 1 << 40])
            payload = b""
            if command == WRITE:
                length = min(length, MIB)
                payload = bytes(length)
            elif command == READ:
                length = min(length, MIB)
            request = Request(command, rng.choice([0, 0, 1 << rng.randrange(16)]), offset, length, payload)
            client.perform(request, rng.getrandbits(64))
            count.value += 1
        client.socket.sendall(rng.randbytes(rng.randrange(1, 4000)))
        client.receive(1)
    except (Closed, OSError):
        pass
    client.close()


def connect(place, rng, count):
    """Connects, and leaves in any part of the handshake."""
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(place.socket))
            message = struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", rng.choice([3, 6, 7, 8, 99]), 0)
            try:
                connection.sendall(rng.choice([message, message[:rng.randrange(len(message))], rng.randbytes(64)]))
                connection.recv(rng.choice([1, 18, 64]))
            except OSError:
                pass
        count.value += 1


def repeat(place, seed, stop, count, steps):
    rng = random.Random(seed)
    while not stop.is_set():
        rng.choice(steps)(place, rng, count)


# MARK: - Contents

def snapshot(place, rng, name):
    status, _ = control(place.control, "POST", f"/snapshots?name={name}")
    if status != 200:
        return
    client = Client(place.socket, export=f"@{name}".encode())
    offset = rng.randrange(SIZE - MIB)
    request = Request(READ, 0, offset, MIB)
    first = client.perform(request, 1)
    time.sleep(rng.random())
    # A snapshot is lost when its memory is used up; reads then fail.
    second = client.perform(request, 2)
    assert first[0] or second[0] or first[1] == second[1], f"the snapshot {name} has changed at {offset}"
    client.close()
    control(place.control, "DELETE", f"/snapshots?name={name}&force=true")


def clone(place, rng, name):
    status, _ = control(place.control, "POST", f"/clones?name={name}")
    if status != 200:
        return
    client = Client(place.socket, export=name.encode())
    offset, data = rng.randrange(SIZE - MIB), rng.randbytes(100_000)
    client.perform(Request(WRITE, 0, offset, len(data), data), 1)
    error, read, _ = client.perform(Request(READ, 0, offset, len(data)), 2)
    assert not error and read == data, "a clone does not hold what was written to it"
    client.close()
    control(place.control, "DELETE", f"/clones?name={name}&force=true")


def checkpoint(place, rng, name):
    status, _ = control(place.control, "POST", f"/checkpoints?name={name}")
    if status != 200:
        return
    client = Client(place.socket, True, True, export=f"@{name}".encode())
    client.perform(Request(STATUS, 0, 0, SIZE), 1)
    client.close()
    control(place.control, "POST", f"/checkpoints/{rng.choice(['commit', 'abort'])}?name={name}")


def save(place, rng, name):
    target = "/saves" if rng.randrange(2) else f"/saves?path={place.directory}/copy"
    status, body = control(place.control, "POST", target)
    assert status == 200, f"a save fails: {body!r}"


def look(place, rng, name):
    for target in ("/stats", "/metrics", "/snapshots", "/clones", "/checkpoints", "/saves", "/nothing"):
        control(place.control, "GET", target)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place.control))
        connection.sendall(rng.choice([b"GET /trace HTTP/1.1\r\n\r\n", b"GET /stats", rng.randbytes(200)]))
        connection.settimeout(1)
        try:
            connection.recv(rng.choice([1, 1000, 100_000]))
        except OSError:
            pass


def operate(place, seed, stop, count):
    rng, number = random.Random(seed), 0
    while not stop.is_set():
        number += 1
        rng.choice([snapshot, clone, checkpoint, save, look])(place, rng, f"n{number}")
        count.value += 1


def clear(place):
    for item in control(place.control, "GET", "/snapshots")[1]:
        control(place.control, "DELETE", f"/snapshots?name={item['name']}&force=true")
    for item in control(place.control, "GET", "/clones")[1]:
        control(place.control, "DELETE", f"/clones?name={item['export']}&force=true")
    for item in control(place.control, "GET", "/checkpoints")[1]:
        if item["state"] != "committed":
            control(place.control, "POST", f"/checkpoints/abort?name={item['name']}")


# MARK: - The run

class Place:
    """Where the files of a run are, and the server."""

    def __init__(self, directory, program):
        self.directory, self.program = directory, program
        self.socket, self.control, self.image = directory / "nbd", directory / "control", directory / "image"
        with open(directory / "model", "wb+") as file:
            file.truncate(SIZE)
            self.model = mmap.mmap(file.fileno(), SIZE)
        self.log = open(directory / "log", "wb")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "serve", "--size", str(SIZE), "--sparse", "--unix", str(self.socket), "--control",
             str(self.control), "--image", str(self.image), "--save-every", "7s", "--snapshot-memory", "32M",
             "--stall-timeout", f"{STALL}ms"], stdout=subprocess.DEVNULL, stderr=self.log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return Client(self.socket).close()
            except (OSError, Closed):
                assert self.process.poll() is None, f"the server ends: {self.tail()}"
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        assert status == 0, f"the server ends with status {status}: {self.tail()}"

    def tail(self):
        return (self.directory / "log").read_text(errors="replace")[-600:]

    def contents(self):
        client, data = Client(self.socket), b""
        for offset in range(0, SIZE, MIB):
            error, piece, _ = client.perform(Request(READ, 0, offset, MIB), 1)
            assert not error, f"READ at {offset} fails"
            data += piece
        client.close()
        return data

    def sample(self):
        """Returns bytes besides the disk, bytes of the disk, descriptors and threads."""
        process = Path(f"/proc/{self.process.pid}")
        resident = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        disk = sum(disk["residentBytes"] for disk in control(self.control, "GET", "/disks")[1])
        return resident - disk, disk, len(os.listdir(process / "fd")), len(os.listdir(process / "task"))


def load(place, seconds, seed):
    """Runs all clients for a time. Returns how many requests they have sent."""
    stop, count = multiprocessing.Event(), [multiprocessing.Value("Q") for _ in range(WRITERS + 3)]
    jobs = [(Writer(place, index, seed + index).run, (stop, count[index])) for index in range(WRITERS)]
    jobs += [(repeat, (place, seed + 100, stop, count[-3], [flood, send_invalid, send_invalid, connect])),
             (repeat, (place, seed + 101, stop, count[-2], [stall, connect])),
             (operate, (place, seed + 102, stop, count[-1]))]
    processes = [multiprocessing.Process(target=target, args=arguments, daemon=True) for target, arguments in jobs]
    for process in processes:
        process.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and all(process.exitcode in (None, 0) for process in processes):
        assert place.process.poll() is None, f"the server has died: {place.tail()}"
        time.sleep(0.2)
    stop.set()
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0, f"a client has failed; see above. The server's log: {place.tail()}"
    return sum(value.value for value in count)


def compare(place):
    """Waits until the server has no clients; then disk and image must hold what the model does."""
    clear(place)
    deadline = time.monotonic() + PATIENCE
    while control(place.control, "GET", "/connections")[1]:
        assert time.monotonic() < deadline, "connections stay open after their clients have left"
        time.sleep(0.2)
    contents = place.contents()
    place.model[HOSTILE:] = contents[HOSTILE:]
    assert contents == place.model[:], "the disk does not hold what was written"
    status, body = control(place.control, "POST", "/saves")
    assert status == 200, f"the save fails: {body!r}"
    assert place.image.read_bytes() == contents, "the image does not hold what the disk does"
    # The control socket's own last connection may still be open.
    time.sleep(0.5)


def run(place, seconds, cycle, seed):
    place.start()
    print(f"{'cycle':>5} {'minutes':>8} {'requests':>10} {'besides disk':>13} {'disk':>9} {'descriptors':>11} "
          f"{'threads':>8}", flush=True)
    begin, samples, requests = time.monotonic(), [], 0
    while time.monotonic() < begin + seconds or len(samples) < 2:
        requests += load(place, cycle, seed + 1000 * len(samples))
        compare(place)
        samples.append(place.sample())
        rest, disk, descriptors, threads = samples[-1]
        minutes = (time.monotonic() - begin) / 60
        print(f"{len(samples):5} {minutes:8.1f} {requests:10} {rest >> 10:9} KiB {disk >> 10:5} KiB {descriptors:11} "
              f"{threads:8}", flush=True)
    place.stop()
    place.start()
    assert place.contents() == place.model[:], "another server restores other contents from the image"
    place.stop()
    first, last = samples[0], samples[-1]
    assert last[0] <= first[0] + ROOM_BYTES, "memory has grown"
    assert last[2] <= first[2] + ROOM_DESCRIPTORS, "descriptors have grown"
    assert last[3] <= first[3] + ROOM_THREADS, "threads have grown"


def main():
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--program", required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--hours", type=float)
    length.add_argument("--minutes", type=float)
    parser.add_argument("--cycle", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    seconds = arguments.hours * 3600 if arguments.hours else arguments.minutes * 60
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        place = Place(Path(directory), arguments.program)
        try:
            run(place, seconds, arguments.cycle, arguments.seed)
        except AssertionError as problem:
            sys.exit(f"soak: {problem}")
        finally:
            if place.process and place.process.poll() is None:
                place.process.kill()
                place.process.wait()
    print("contents equal the model; memory, descriptors and threads are flat")


if __name__ == "__main__":
    main()
