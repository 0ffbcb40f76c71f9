#!/usr/bin/python3
"""Measures what a dirty bitmap costs writes.

  Benchmarks/Trials/bitmap_cost.py [ROUNDS]

Two servers of the release build have a plain disk of 256 MiB each, which is written at random in turns: 4 KiB, 128 in
flight. One of them has a committed checkpoint, so it records which pages change.
"""
import sys
import tempfile

sys.dont_write_bytecode = True
from served import Served, compare, report  # noqa: E402


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as directory, \
            Served(directory, "without", "--size", "256M") as without, \
            Served(directory, "with", "--size", "256M") as recorded:
        recorded.command("POST", "/checkpoints?name=one")
        recorded.command("POST", "/checkpoints/commit?name=one")
        report("4 KiB writes, with a bitmap", *compare(without, recorded, rounds, "write", "4K", 128))


main()
