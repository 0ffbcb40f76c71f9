#!/usr/bin/python3
"""Measures how fast an image is restored, against reading the file.

Usage: restore_rate.py GIB ROUNDS NAME=PROGRAM...

Makes an image of GIB of random bytes in /var/tmp (kept for the next run), and in each round times, one after the other:
dd of the file, and for each PROGRAM the start of `serve` until its first reply, with --image, --load, and without a file,
on sparse and on plain disks; with the file in the page cache, and without it. Prints the median of each, lowest to
highest, the median of the ratios to the dd of the same round, and the server's processor time (with that of its end).
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time

DIRECTORY = "/var/tmp/ramdisk-nbd-restore"
SOCKETS = f"{DIRECTORY}/nbd", f"{DIRECTORY}/control"


def start(program, *options):
    """Returns a server, and the seconds until its first reply."""
    for path in SOCKETS:
        if os.path.exists(path):
            os.unlink(path)
    begin = time.monotonic()
    server = subprocess.Popen(
        [program, "serve", "--unix", SOCKETS[0], "--control", SOCKETS[1], "--log-level", "error", *options],
        stdout=subprocess.DEVNULL)
    while server.poll() is None:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(SOCKETS[0])
                if client.recv(8) == b"NBDMAGIC":
                    return server, time.monotonic() - begin
        except OSError:
            time.sleep(0.001)
    sys.exit(f"the server ended with {server.returncode}")


def timed_start(program, *options):
    server, seconds = start(program, *options)
    # Without a save.
    server.send_signal(signal.SIGKILL)
    _, _, usage = os.wait4(server.pid, 0)
    server.returncode = 0
    return seconds, usage.ru_utime + usage.ru_stime


def make_image(program, image, size):
    raw = f"{DIRECTORY}/raw"
    with open("/dev/urandom", "rb") as source, open(raw, "wb") as target:
        for _ in range(size >> 20):
            target.write(source.read(1 << 20))
    server, _ = start(program, "--sparse", "--size", str(size), "--load", raw)
    subprocess.run([program, "save", "--control", SOCKETS[1], image], check=True)
    server.terminate()
    server.wait()
    os.unlink(raw)


def dd(*options):
    begin = time.monotonic()
    subprocess.run(["dd", "status=none", *options], check=True)
    return time.monotonic() - begin, 0


def prepare(image, is_cached):
    if is_cached:
        dd(f"if={image}", "of=/dev/null", "bs=1M")
    else:
        dd(f"of={image}", "oflag=nocache", "conv=notrunc,fdatasync", "count=0")


def measure(image, size, programs, rounds):
    seconds = {}
    for _ in range(rounds):
        for state in ("cached", "not cached"):
            trials = {"dd": lambda: dd(f"if={image}", "of=/dev/null", "bs=1M")}
            for name, program in programs:
                for kind, options in {
                    "--sparse --image": ["--sparse", "--image", image],
                    "--sparse --load": ["--sparse", "--load", image],
                    # The first plain disk after sparse ones waits for the kernel to join their small pages.
                    "no file, after sparse": ["--size", str(size)],
                    "no file": ["--size", str(size)],
                    "--image": ["--image", image],
                    "--load": ["--load", image],
                }.items():
                    trials[f"{name} {kind}"] = lambda program=program, options=options: timed_start(program, *options)
            for trial, run in trials.items():
                prepare(image, state == "cached")
                seconds.setdefault((state, trial), []).append(run())
    return seconds


def main():
    size = int(sys.argv[1]) << 30
    programs = [argument.split("=", 1) for argument in sys.argv[3:]]
    os.makedirs(DIRECTORY, exist_ok=True)
    image = f"{DIRECTORY}/{sys.argv[1]}.img"
    if not os.path.exists(f"{image}.state"):
        make_image(programs[0][1], image, size)
    seconds = measure(image, size, programs, int(sys.argv[2]))
    for (state, trial), values in seconds.items():
        ratios = [base[0] / value[0] for base, value in zip(seconds[state, "dd"], values)]
        walls = [value[0] for value in values]
        print(
            f"{state:10} {trial:30} {statistics.median(walls):7.3f} s ({min(walls):.3f} to {max(walls):.3f})"
            f"  {statistics.median(ratios):5.2f} of dd ({min(ratios):.2f} to {max(ratios):.2f})"
            f"  processor {statistics.median([value[1] for value in values]):.2f} s")


main()
