"""What the trials share: a server of the release build, and two of them compared under the same load."""
import http.client
import json
import os
import socket
import statistics
import subprocess
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / ".build" / "release"


class Served:
    """A server on a Unix socket, with a control socket."""

    def __init__(self, directory, name, *options):
        self.socket, self.control = f"{directory}/{name}.sock", f"{directory}/{name}.control"
        self.process = subprocess.Popen(
            [BUILD / "ramdisk-nbd", "serve", "--unix", self.socket, "--control", self.control,
             "--log-level", "error", *options], stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def command(self, method, path):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.control)
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return json.loads(body)

    def memory(self):
        """MiB of memory that the process alone takes up: its share of everything it has mapped."""
        for line in open(f"/proc/{self.process.pid}/smaps_rollup"):
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024

    def processor_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(first, second, rounds, workload, block, depth):
    """Puts a load on two servers in turns. Returns the ratios of the second one's rate to the first one's in each
    round, and the microseconds of processor time that a request costs each (medians)."""
    figures = {first: [], second: []}
    for _ in range(rounds + 1):
        for server, results in figures.items():
            before = server.processor_seconds()
            result = json.loads(subprocess.run(
                [BUILD / "nbd-load", "run", "--workload", workload, "--block-size", block,
                 "--depth", str(depth), "--seconds", "0.7", "--warmup", "0", "--json",
                 f"nbd+unix:///?socket={server.socket}"],
                check=True, capture_output=True, text=True).stdout)
            used = server.processor_seconds() - before
            results.append((result["iops"], used / (result["iops"] * 0.7) * 1e6))
    # The first round touches the pages.
    ratios = [b[0] / a[0] for a, b in zip(figures[first][1:], figures[second][1:])]
    return ratios, [statistics.median(figure[1] for figure in results[1:]) for results in figures.values()]


def report(name, ratios, times):
    print(f"{name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of the rate; "
          f"{times[1]:.3f} microseconds of processor time a request, without {times[0]:.3f}")
