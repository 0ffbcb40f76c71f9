"""Runs nbd-conformance against servers, and writes the tables of results."""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers

ROOT = Path(__file__).resolve().parents[2]
SIZE = "64M"
# The key of a client that no case plays: the cases cover what a server does before TLS.
KEYS = "alice:" + "5a" * 32 + "\n"
# Seconds to wait for a silent server; some never reply.
PATIENCE = "2"
MARKS = {"passed": "yes", "failed": "**no**", "not offered": "-"}


class Server:
    """A server in one shape, on a Unix socket in a directory of its own."""

    def __init__(self, title, shape, command, export="", generation=peers.DEBIAN):
        self.title = title
        self.generation = generation
        self.shape = shape
        self.command = command
        self.export = export

    def run(self, tool):
        """The results of all cases. If a case ends the server, another one continues with the next case."""
        cases, has_ended = self.try_cases(tool, [])
        done = 0
        while has_ended:
            first = next((index for index, case in enumerate(cases) if "cannot connect" in case.get("detail", "")), 0)
            if first <= done:
                break
            killer = cases[first - 1]
            killer["detail"] = "; ".join(filter(None, [killer.get("detail"), "the server ended"]))
            rest, has_ended = self.try_cases(tool, [case["case"] for case in cases[first:]])
            found = {case["case"]: case for case in rest}
            cases[first:] = [found[case["case"]] for case in cases[first:]]
            done = first
        return cases

    def try_cases(self, tool, names):
        """The results of these cases, or of all; and whether the server has ended meanwhile."""
        # A directory in memory, for servers that serve a file.
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="nbd-conformance.") as name:
            directory = Path(name)
            socket = directory / "socket"
            command = self.generation.command(self.command(directory, socket))
            with open(directory / "log", "w") as output:
                process = subprocess.Popen(command, stdout=output, stderr=output)
            try:
                self.wait(process, directory, socket)
                uri = f"nbd+unix:///{self.export}?socket={socket}"
                only = [argument for name in names for argument in ("--only", name)]
                result = subprocess.run([tool, "--json", "--patience", PATIENCE, *only, uri],
                                        stdout=subprocess.PIPE, text=True)
                if not result.stdout:
                    sys.exit(f"{self.title}, {self.shape}: nbd-conformance has no results.")
                return json.loads(result.stdout), process.poll() not in (None, 0)
            finally:
                self.stop(process, directory)

    def wait(self, process, directory, socket):
        deadline = time.monotonic() + 20
        while not socket.exists():
            if process.poll() not in (None, 0) or time.monotonic() > deadline:
                log = (directory / "log").read_text().strip()
                sys.exit(f"{self.title}, {self.shape} did not start: {log}")
            time.sleep(0.05)
        time.sleep(0.2)

    def stop(self, process, directory):
        pid_file = directory / "pid"
        if pid_file.exists():  # The server runs in the background.
            os.kill(int(pid_file.read_text()), 15)
        elif process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ours(program, *options):
    return lambda directory, socket: [program, "serve", "--unix", str(socket), *options]


def encrypted(command):
    """Returns the same command with a file keys.psk in the directory that options call DIRECTORY."""
    def with_keys(directory, socket):
        (directory / "keys.psk").write_text(KEYS)
        return [part.replace("DIRECTORY", str(directory)) for part in command(directory, socket)]
    return with_keys


def nbdkit(*options):
    return lambda directory, socket: peers.nbdkit(socket, SIZE, *options)


def qemu(*options):
    def command(directory, socket):
        image = directory / "image"
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        return peers.qemu_nbd(socket, image, *options)
    return command


def nbd_server(*lines, certificates_by=None):
    def command(directory, socket):
        tls = []
        if certificates_by:  # nbd-server does not support pre-shared keys.
            files = directory / "certificates"
            subprocess.run([certificates_by, "tls", "init", files], check=True, stdout=subprocess.DEVNULL)
            tls = [f"certfile = {files}/server-cert.pem", f"keyfile = {files}/server-key.pem",
                   f"cacertfile = {files}/ca-cert.pem", "force_tls = true"]
        images = {name: directory / name for name in ["disk", "other"]}
        for image in images.values():
            with open(image, "wb") as file:
                file.truncate(64 << 20)
        return peers.nbd_server(socket, directory, images, ["allowlist = true", *tls],
                                ["flush = true", "fua = true", "trim = true", *lines])
    return command


def servers(program, generations):
    """Each server in each shape; the first is ours."""
    result = [
        Server("ramdisk-nbd", "writable", ours(program, "--size", SIZE)),
        Server("ramdisk-nbd", "sparse, two exports",
               ours(program, "--sparse", "--export", "big=1T", "--export", "small=1M")),
        Server("ramdisk-nbd", "read-only", ours(program, "--size", SIZE, "--read-only")),
        Server("ramdisk-nbd", "TLS required",
               encrypted(ours(program, "--size", SIZE, "--tls", "require",
                              "--tls-psk", "DIRECTORY/keys.psk"))),
    ]
    for generation in generations:
        result += peers_of(generation, program)
    return result


def peers_of(generation, program):
    """The other servers of a generation in each shape."""
    shapes = [
        ("nbdkit", "writable", nbdkit()),
        ("nbdkit", "read-only", nbdkit("-r")),
        ("nbdkit", "TLS required", encrypted(nbdkit("--tls=require", "--tls-psk=DIRECTORY/keys.psk"))),
        ("qemu-nbd", "writable", qemu()),
        ("qemu-nbd", "read-only", qemu("-r")),
        ("qemu-nbd", "TLS required",
         encrypted(qemu("--tls-creds", "tls", "--object", "tls-creds-psk,id=tls,endpoint=server,dir=DIRECTORY"))),
        ("nbd-server", "writable, two exports", nbd_server(), "disk"),
        ("nbd-server", "read-only", nbd_server("readonly = true"), "disk"),
        ("nbd-server", "TLS required", nbd_server(certificates_by=program), "disk"),
    ]
    return [Server(*shape, generation=generation) for shape in shapes]


def merge(runs):
    """The outcome of each case over all shapes of a server: a failure wins, then a pass."""
    order = ["not offered", "passed", "failed"]
    merged = {}
    for cases in runs:
        for case in cases:
            known = merged.get(case["case"])
            if known is None or order.index(case["outcome"]) > order.index(known["outcome"]):
                merged[case["case"]] = case
    return merged


def with_version(server, program):
    """The name and version of a server, which tells the generations of a peer apart."""
    command = [program if server.title == "ramdisk-nbd" else server.title,
               "-V" if server.title == "nbd-server" else "--version"]
    result = subprocess.run(server.generation.command(command), capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", result.stdout + result.stderr)
    return f"{server.title} {found.group()}" if found else server.title


def counts(merged, level):
    outcomes = [case["outcome"] for case in merged.values() if case["level"] == level]
    return [outcomes.count(name) for name in ("passed", "failed", "not offered")]


def summary(results):
    """A table with a line for each server."""
    lines = ["| server | MUST: kept | broken | not offered | SHOULD: kept | other | not offered |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for title, merged in results.items():
        figures = counts(merged, "must") + counts(merged, "should")
        lines.append(f"| {title} | {' | '.join(map(str, figures))} |")
    return "\n".join(lines)


def failures(results):
    """The departures of each server, in sentences."""
    parts = []
    for title, merged in results.items():
        failed = [case for case in merged.values() if case["outcome"] == "failed"]
        parts.append(f"### {title}\n")
        if not failed:
            parts.append("Nothing.\n")
        for level in ("must", "should"):
            for case in [case for case in failed if case["level"] == level]:
                parts.append(f"- {level.upper()} `{case['case']}`: {case['detail']} "
                             f"({case['section']}: {case['rule']})")
        parts.append("")
    return "\n".join(parts)


def table(results):
    """A row for each case."""
    titles = list(results)
    lines = ["| case | | " + " | ".join(titles) + " | rule |",
             "| --- | --- | " + " | ".join("---" for _ in titles) + " | --- |"]
    for name, case in results[titles[0]].items():
        marks = [MARKS[results[title][name]["outcome"]] for title in titles]
        lines.append(f"| `{name}` | {case['level'].upper()} | {' | '.join(marks)} "
                     f"| {case['section']}: {case['rule']} |")
    return "\n".join(lines)


def write(results):
    text = f"""# Conformance

What the NBD specification says, case by case, and which servers follow it. `scripts/conformance --peers both`
writes this file. The cases are in `Tests/Conformance/Cases`, and `nbd-conformance URI` tries them on any server.

A rule about a feature that a server does not offer counts neither for nor against it ("-"). A server may depart from a
SHOULD for a reason, so "other" is not a fault by itself.

{summary(results)}

The other servers are those of Debian 12, and the newest, from Debian unstable.

Each server was tried writable, read-only, and with TLS required (there the cases cover what happens before TLS): nbdkit
with its memory plugin, qemu-nbd and nbd-server with a file on a tmpfs, ramdisk-nbd also with a sparse disk of 1 TiB
beside a second export.

## Departures

{failures(results)}
## All cases

{table(results)}
"""
    (ROOT / "docs/reference/conformance.md").write_text(text)
    protocol = ROOT / "docs/reference/protocol.md"
    begin, end = "<!-- conformance: begin -->", "<!-- conformance: end -->"
    before, _, rest = protocol.read_text().partition(begin)
    after = rest.partition(end)[2]
    if rest:
        protocol.write_text(f"{before}{begin}\n{summary(results)}\n{end}{after}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--peers", choices=peers.CHOICES)
    options = parser.parse_args()
    # SIGTERM stops the servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tool = str(options.bin / "nbd-conformance")
    program = os.environ.get("RAMDISK_NBD") or str(options.bin / "ramdisk-nbd")

    runs, names = {}, {}
    for server in servers(program, peers.generations(options.peers)):
        name = names.setdefault((server.title, server.generation), with_version(server, program))
        began = time.monotonic()
        cases = server.run(tool)
        runs.setdefault(name, []).append(cases)
        failed = [case for case in cases if case["outcome"] == "failed"]
        print(f"{name}, {server.shape}: {len(cases)} cases, {len(failed)} failed, "
              f"{time.monotonic() - began:.1f} s", flush=True)
        if server.title == "ramdisk-nbd":
            for case in failed:
                print(f"  {case['case']}: {case['section']}: {case['rule']}\n    {case['detail']}")
    results = {name: merge(cases) for name, cases in runs.items()}
    if options.peers == "both":
        write(results)
    elif options.peers:
        print(summary(results), failures(results), sep="\n\n")
    ours_failed = any(case["outcome"] == "failed" for case in next(iter(results.values())).values())
    sys.exit(1 if ours_failed else 0)


if __name__ == "__main__":
    main()
