"""Sends the same random requests to three NBD servers, and compares the answers; see scripts/differential.

Each server has a model: the bytes that its disk must hold, by its own answers. So one difference does not cause others.
"""
import argparse
import collections
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
from raw_client import (CACHE, DF, ERRORS, FAST_ZERO, FLUSH, FUA, MAGIC, MIB, NO_HOLE, PATIENCE, READ, REQ_ONE, STATUS,
                        TRIM, WRITE, ZEROES, Client, Closed, Request, describe)

SIZE = 256 << 10
# Requests of one connection.
SESSION = 200
VALID_FLAGS = {READ: FUA | DF, WRITE: FUA, FLUSH: FUA, TRIM: FUA, CACHE: FUA, ZEROES: FUA | NO_HOLE | FAST_ZERO,
               STATUS: FUA | REQ_ONE}


class Server:
    """A server that runs, with a model of its disk, and a connection."""

    def __init__(self, name, command, path):
        self.name, self.path = name, path
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.model = bytearray(SIZE)
        self.client = None
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                Client(path, True, True).close()
                return
            except (OSError, Closed):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    sys.exit(f"differential: {name} does not start; try it by hand: {' '.join(command)}")
                time.sleep(0.05)

    def connect(self, structured, context):
        if self.client:
            self.client.close()
        self.client = Client(self.path, structured, context)

    def answer(self, request, cookie, shape):
        """Returns what the server answers, and checks it with the model."""
        try:
            error, data, extents = self.client.perform(request, cookie)
        except Closed:
            self.connect(*shape)
            return "closed"
        except TimeoutError:
            self.connect(*shape)
            return "silent"
        if error:
            return ERRORS.get(error, f"error {error}")
        self.apply(request, data, extents, cookie)
        return "success"

    def apply(self, request, data, extents, cookie):
        start, end = request.offset, request.offset + request.length
        if request.command == READ:
            assert data == self.model[start:end], f"{self.name}: READ returns other bytes than were written"
        elif request.command == WRITE:
            self.model[start:end] = request.payload
        elif request.command == ZEROES:
            self.model[start:end] = bytes(request.length)
        elif request.command == TRIM:
            self.read_trimmed(start, request.length, cookie)
        elif request.command == STATUS:
            self.check_extents(request, extents)

    def read_trimmed(self, start, length, cookie):
        """Reads what is trimmed: the specification leaves it open whether that is zero."""
        if not length:
            return
        _, data, _ = self.client.perform(Request(READ, 0, start, length), cookie)
        for index, byte in enumerate(data):
            assert byte in (0, self.model[start + index]), f"{self.name}: TRIM has changed a byte to {byte}"
        self.model[start:start + length] = data

    def check_extents(self, request, extents):
        position = request.offset
        assert extents or not request.length, f"{self.name}: BLOCK_STATUS without an extent"
        assert not request.flags & REQ_ONE or len(extents) == 1, f"{self.name}: REQ_ONE has several extents"
        for length, flags in extents:
            assert length, f"{self.name}: an extent is empty"
            content = self.model[position:position + length]
            assert not flags & 2 or not any(content), f"{self.name}: an extent with data is reported as zero"
            position += length

    def check_disk(self):
        _, data, _ = self.client.perform(Request(READ, 0, 0, SIZE), 1)
        assert data == self.model, f"{self.name}: the disk does not hold what was written"

    def stop(self):
        if self.client:
            self.client.close()
        self.process.terminate()
        self.process.wait()


# MARK: - Requests

def position(rng):
    style = rng.randrange(9)
    if style < 3:
        return rng.randrange(65) * 4096
    if style < 5:
        return rng.randrange(SIZE)
    return [rng.randrange(300), SIZE - rng.randrange(600), rng.getrandbits(16) * 512, 0][style - 5] \
        if style < 8 or rng.randrange(8) else rng.getrandbits(64) >> rng.randrange(64)


def random_request(rng):
    command = rng.choice([READ, READ, READ, WRITE, WRITE, WRITE, FLUSH, TRIM, CACHE, ZEROES, ZEROES, STATUS])
    if not rng.randrange(40):
        command = rng.choice([8, 9, 255, 256, 65535, rng.randrange(8, 65536)])
    flags = 0
    if not rng.randrange(3):
        flags = rng.getrandbits(16) & VALID_FLAGS.get(command, 0)
    if not rng.randrange(30):
        flags = 1 << rng.randrange(16)
    offset, length = position(rng), position(rng) & 0xffffffff
    if command == FLUSH and rng.randrange(8):
        offset = length = 0
    if rng.randrange(3):
        # Most requests are inside of the disk.
        offset %= SIZE
        length = min(length, SIZE - offset)
    payload = b""
    if command == WRITE:
        # Now and then one that is longer than a server must accept.
        most = 40 * MIB if not rng.randrange(400) else MIB
        length = min(length, most) if rng.randrange(2000) else 33 * MIB + rng.randrange(8 * MIB)
        payload = rng.randbytes(1 << 12) * (length // 4096 + 1)
        payload = payload[:length]
    magic = MAGIC if rng.randrange(1500) else rng.getrandbits(32)
    return Request(command, flags, offset, length, payload, magic)


# MARK: - Reasons

def is_refused(answer):
    return answer not in ("success", "silent")


def broken_rules(request):
    """Returns how many rules of the specification a request breaks."""
    return sum([
        request.length == 0 and request.command != FLUSH,
        request.offset + request.length > SIZE,
        request.flags & ~VALID_FLAGS.get(request.command, 0) != 0,
        request.command > STATUS,
    ])


# Why a peer may answer otherwise than this server. What is not in this list is a finding.
REASONS = {
    "the specification leaves a length of 0 open: this server refuses it, qemu-nbd does nothing":
        lambda request, ours, theirs: request.length == 0 and ours == "EINVAL"
        and theirs in ("success", "EINVAL", "ENOSPC"),
    "beyond the end a WRITE SHOULD be ENOSPC, and qemu-nbd says EINVAL":
        lambda request, ours, theirs: request.offset + request.length > SIZE
        and request.command in (WRITE, ZEROES) and (ours, theirs) == ("ENOSPC", "EINVAL"),
    "a FLUSH MUST have no offset and no length, and qemu-nbd ignores them":
        lambda request, ours, theirs: request.command == FLUSH and (request.offset or request.length)
        and (ours, theirs) == ("EINVAL", "success"),
    "a request breaks two rules, which each server checks in an order of its own":
        lambda request, ours, theirs: broken_rules(request) > 1 and is_refused(ours) and is_refused(theirs),
    "qemu-nbd answers a request without its magic before it closes the connection":
        lambda request, ours, theirs: request.magic != MAGIC and ours == "closed" and is_refused(theirs),
    "more than 32 MiB may end the connection, and do in qemu-nbd":
        lambda request, ours, theirs: request.length > 32 * MIB and request.command in (READ, WRITE)
        and is_refused(ours) and theirs == "closed",
}


def reason_for(request, ours, theirs):
    """Returns the reason for two different answers; None when there is none."""
    for reason, applies in REASONS.items():
        if applies(request, ours, theirs):
            return reason
    return None


# MARK: - The run

def start_servers(program, directory):
    image = directory / "image"
    with open(image, "wb") as file:
        file.truncate(SIZE)
    ours, nbdkit, qemu = (directory / name for name in ("ours", "nbdkit", "qemu"))
    commands = {
        "ramdisk-nbd": ([program, "serve", "--size", str(SIZE), "--unix", str(ours), "--no-control"], ours),
        "nbdkit": (peers.nbdkit(nbdkit, SIZE), nbdkit),
        "qemu-nbd": (peers.qemu_nbd(qemu, image), qemu),
    }
    return [Server(name, command, path) for name, (command, path) in commands.items()]


def ask(servers, request, cookie, shape):
    """Returns the answers to a request; ends the program when one is wrong by itself."""
    answers = []
    for server in servers:
        try:
            answers.append(server.answer(request, cookie, shape))
        except AssertionError as problem:
            sys.exit(f"differential: request {cookie}, {describe(request)}: {problem}")
    return answers


def begin_session(servers, shape):
    for server in servers:
        if server.client:
            server.check_disk()
        server.connect(*shape)


def run(servers, rng, count):
    """Returns how often each reason applied, and how often each difference without one."""
    reasons, findings = collections.Counter(), collections.Counter()
    for number in range(count):
        if number % SESSION == 0:
            shape = (rng.random() < 0.7, rng.random() < 0.8)
            begin_session(servers, shape)
        request = random_request(rng)
        answers = ask(servers, request, number, shape)
        if request.magic != MAGIC:
            # A server may still answer one, but loses track of the requests behind it.
            for server in servers:
                server.connect(*shape)
        for server, theirs in zip(servers[1:], answers[1:]):
            if theirs == answers[0]:
                continue
            reason = reason_for(request, answers[0], theirs)
            if reason:
                reasons[reason] += 1
                continue
            kind = (server.name, answers[0], theirs)
            findings[kind] += 1
            # A few of each kind say what it is.
            if findings[kind] <= 5:
                print(f"request {number}, {'structured' if shape[0] else 'simple'}: {describe(request)}: "
                      f"{answers[0]}, but {server.name}: {theirs}")
    for server in servers:
        server.check_disk()
    return reasons, findings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--count", type=int, default=20_000)
    arguments = parser.parse_args()
    print(f"{arguments.count} requests, seed {arguments.seed}")
    servers = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        try:
            servers = start_servers(arguments.program, Path(directory))
            reasons, findings = run(servers, random.Random(arguments.seed), arguments.count)
        finally:
            for server in servers:
                server.stop()
    for reason, times in reasons.most_common():
        print(f"{times:7} times: {reason}")
    if findings:
        sys.exit(f"differential: {sum(findings.values())} answers differ without a reason")
    print("no difference without a reason; every disk holds what its server's answers say")


if __name__ == "__main__":
    main()
