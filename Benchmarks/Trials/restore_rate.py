#!/usr/bin/python3
"""Measures how soon a disk is served that is restored from an image, and how fast it is restored.

Usage: restore_rate.py DATA[/SIZE] ROUNDS NAME=PROGRAM...

Makes an image with DATA GiB of random bytes on a disk of SIZE GiB (DATA unless given; kept in /var/tmp for the next
run). In each round it times, one after the other: dd of the data, and for each PROGRAM the start of `serve`, with --image
(also with --restore-first, if it has that), --load and without a file, on sparse and on plain disks; with the file in the
page cache, and without it. A disk with holes is only tried sparse. Prints the median of each, lowest to highest: the time
from the start of the process to the reply to its first READ, of the last page with data; the time until all is restored;
the median of the rates of that, as ratios to the dd of the same round; and the server's processor time, with that of its
end. Needs python3-libnbd.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

import nbd

DIRECTORY = "/var/tmp/ramdisk-nbd-restore"
SOCKETS = f"{DIRECTORY}/nbd", f"{DIRECTORY}/control"


def start(program, offset, *options):
    """Returns a server, the seconds until it has replied to a READ, and the moment of its start."""
    for path in SOCKETS:
        if os.path.exists(path):
            os.unlink(path)
    begin = time.monotonic()
    server = subprocess.Popen(
        [program, "serve", "--unix", SOCKETS[0], "--control", SOCKETS[1], "--log-level", "error", *options],
        stdout=subprocess.DEVNULL)
    while server.poll() is None:
        client = nbd.NBD()
        try:
            client.connect_unix(SOCKETS[0])
        except nbd.Error:
            time.sleep(0.001)
            continue
        client.pread(4096, offset)
        return server, time.monotonic() - begin, begin
    sys.exit(f"the server ended with {server.returncode}")


def is_restored():
    """Asks the server whether all of the image is on the disk."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(SOCKETS[1])
        control.sendall(b"GET /saves HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := control.recv(65536):
            answer += part
    return all(not disk.get("restore") for disk in json.loads(answer.split(b"\r\n\r\n", 1)[1]))


def timed_start(program, offset, *options):
    server, first, begin = start(program, offset, *options)
    while not is_restored():
        time.sleep(0.005)
    complete = time.monotonic() - begin if "--image" in options else first
    # Without a save.
    server.send_signal(signal.SIGKILL)
    _, _, usage = os.wait4(server.pid, 0)
    server.returncode = 0
    return first, complete, usage.ru_utime + usage.ru_stime


def make_image(program, image, data, size):
    raw = f"{DIRECTORY}/raw"
    with open("/dev/urandom", "rb") as source, open(raw, "wb") as target:
        for _ in range(data >> 20):
            target.write(source.read(1 << 20))
    server, _, _ = start(program, 0, "--sparse", "--size", str(size), "--load", raw)
    subprocess.run([program, "save", "--control", SOCKETS[1], image], check=True)
    server.terminate()
    server.wait()
    os.unlink(raw)


def dd(*options):
    begin = time.monotonic()
    subprocess.run(["dd", "status=none", *options], check=True)
    seconds = time.monotonic() - begin
    return seconds, seconds, 0


def prepare(image, data, is_cached):
    if is_cached:
        dd(f"if={image}", "of=/dev/null", "bs=1M", f"count={data >> 20}")
    else:
        dd(f"of={image}", "oflag=nocache", "conv=notrunc,fdatasync", "count=0")


def kinds(program, image, data, size):
    """Returns the starts of a program to try, by their names."""
    starts = {"--sparse --image": ["--sparse", "--image", image]}
    if b"--restore-first" in subprocess.run([program, "serve", "--help"], capture_output=True, check=True).stdout:
        starts["--sparse --restore-first"] = ["--sparse", "--restore-first", "--image", image]
    if data < size:
        return starts
    starts["--sparse --load"] = ["--sparse", "--load", image]
    # The first plain disk after sparse ones waits for the kernel to join their small pages.
    starts["no file, after sparse"] = ["--size", str(size)]
    starts["no file"] = ["--size", str(size)]
    starts["--image"] = ["--image", image]
    if "--sparse --restore-first" in starts:
        starts["--restore-first"] = ["--restore-first", "--image", image]
    starts["--load"] = ["--load", image]
    return starts


def measure(image, data, size, programs, rounds):
    results = {}
    for _ in range(rounds):
        for state in ("cached", "not cached"):
            trials = {"dd": lambda: dd(f"if={image}", "of=/dev/null", "bs=1M", f"count={data >> 20}")}
            for name, program in programs:
                for kind, options in kinds(program, image, data, size).items():
                    trials[f"{name} {kind}"] = lambda program=program, options=options: timed_start(
                        program, data - 4096, *options)
            for trial, run in trials.items():
                prepare(image, data, state == "cached")
                results.setdefault((state, trial), []).append(run())
    return results


def text(values):
    return f"{statistics.median(values):7.3f} s ({min(values):.3f} to {max(values):.3f})"


def main():
    gib = [int(part) for part in sys.argv[1].split("/")]
    data, size = gib[0] << 30, gib[-1] << 30
    programs = [argument.split("=", 1) for argument in sys.argv[3:]]
    os.makedirs(DIRECTORY, exist_ok=True)
    image = f"{DIRECTORY}/{gib[0]}-{gib[-1]}.img"
    if not os.path.exists(f"{image}.state"):
        make_image(programs[0][1], image, data, size)
    results = measure(image, data, size, programs, int(sys.argv[2]))
    for (state, trial), values in results.items():
        ratios = [base[0] / value[1] for base, value in zip(results[state, "dd"], values)]
        print(
            f"{state:10} {trial:32} first {text([value[0] for value in values])}"
            f"  restored {text([value[1] for value in values])}"
            f"  {statistics.median(ratios):5.2f} of dd ({min(ratios):.2f} to {max(ratios):.2f})"
            f"  processor {statistics.median([value[2] for value in values]):.2f} s")


main()
