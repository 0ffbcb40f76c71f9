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

    def __init__(self, title, shape, command, export=""):
        self.title = title
        self.shape = shape
        self.command = command
        self.export = export

    def run(self, tool):
        """The results of all cases."""
        # A directory in memory, for servers that serve a file.
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="nbd-conformance.") as name:
            directory = Path(name)
            socket = directory / "socket"
            command = self.command(directory, socket)
            with open(directory / "log", "w") as output:
                process = subprocess.Popen(command, stdout=output, stderr=output)
            try:
                self.wait(process, directory, socket)
                uri = f"nbd+unix:///{self.export}?socket={socket}"
                result = subprocess.run([tool, "--json", "--patience", PATIENCE, uri], stdout=subprocess.PIPE, text=True)
                if not result.stdout:
                    sys.exit(f"{self.title}, {self.shape}: nbd-conformance has no results.")
                return json.loads(result.stdout)
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


def servers(program, with_peers):
    """Each server in each shape; the first title is ours."""
    result = [
        Server("ramdisk-nbd", "writable", ours(program, "--size", SIZE)),
        Server("ramdisk-nbd", "sparse, two exports",
               ours(program, "--sparse", "--export", "big=1T", "--export", "small=1M")),
        Server("ramdisk-nbd", "read-only", ours(program, "--size", SIZE, "--read-only")),
        Server("ramdisk-nbd", "TLS required",
               encrypted(ours(program, "--size", SIZE, "--tls", "require",
                              "--tls-psk", "DIRECTORY/keys.psk"))),
    ]
    if with_peers:
        result += [
            Server("nbdkit", "writable", nbdkit()),
            Server("nbdkit", "read-only", nbdkit("-r")),
            Server("nbdkit", "TLS required",
                   encrypted(nbdkit("--tls=require", "--tls-psk=DIRECTORY/keys.psk"))),
            Server("qemu-nbd", "writable", qemu()),
            Server("qemu-nbd", "read-only", qemu("-r")),
            Server("qemu-nbd", "TLS required",
                   encrypted(qemu("--tls-creds", "tls", "--object",
                                  "tls-creds-psk,id=tls,endpoint=server,dir=DIRECTORY"))),
            Server("nbd-server", "writable, two exports", nbd_server(), "disk"),
            Server("nbd-server", "read-only", nbd_server("readonly = true"), "disk"),
            Server("nbd-server", "TLS required", nbd_server(certificates_by=program), "disk"),
        ]
    return result


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


def version(title, program):
    command = [program if title == "ramdisk-nbd" else title,
               "-V" if title == "nbd-server" else "--version"]
    result = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", result.stdout + result.stderr)
    return found.group() if found else ""


def counts(merged, level):
    outcomes = [case["outcome"] for case in merged.values() if case["level"] == level]
    return [outcomes.count(name) for name in ("passed", "failed", "not offered")]


def summary(results, versions):
    """A table with a line for each server."""
    lines = ["| server | MUST: kept | broken | not offered | SHOULD: kept | other | not offered |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for title, merged in results.items():
        figures = counts(merged, "must") + counts(merged, "should")
        lines.append(f"| {title} {versions[title]} | {' | '.join(map(str, figures))} |")
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


def write(results, versions):
    text = f"""# Conformance

What the NBD specification says, case by case, and which servers follow it. `scripts/conformance --peers` writes this
file. The cases are in `Tests/Conformance/Cases`, and `nbd-conformance URI` tries them on any server.

A rule about a feature that a server does not offer counts neither for nor against it ("-"). A server may depart from a
SHOULD for a reason, so "other" is not a fault by itself.

{summary(results, versions)}

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
        protocol.write_text(f"{before}{begin}\n{summary(results, versions)}\n{end}{after}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--peers", action="store_true")
    options = parser.parse_args()
    # SIGTERM stops the servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tool = str(options.bin / "nbd-conformance")
    program = os.environ.get("RAMDISK_NBD") or str(options.bin / "ramdisk-nbd")

    runs = {}
    for server in servers(program, options.peers):
        began = time.monotonic()
        cases = server.run(tool)
        runs.setdefault(server.title, []).append(cases)
        failed = [case for case in cases if case["outcome"] == "failed"]
        print(f"{server.title}, {server.shape}: {len(cases)} cases, {len(failed)} failed, "
              f"{time.monotonic() - began:.1f} s", flush=True)
        if server.title == "ramdisk-nbd":
            for case in failed:
                print(f"  {case['case']}: {case['section']}: {case['rule']}\n    {case['detail']}")
    results = {title: merge(cases) for title, cases in runs.items()}
    if options.peers:
        write(results, {title: version(title, program) for title in results})
    ours_failed = any(case["outcome"] == "failed" for case in results["ramdisk-nbd"].values())
    sys.exit(1 if ours_failed else 0)


if __name__ == "__main__":
    main()
