"""The programs that put load on a server."""
import json
import os
import subprocess
import time
from . import loads
from .machine import first_line

WARM_UP_SHARE = 0.2


def output_of(process, processes, limit):
    """Returns what a program prints, once it has ended; ends it after `limit` seconds."""
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise LoadFailed("it took too long") from None
    finally:
        processes.stop(process.pid)
    if process.returncode != 0:
        raise LoadFailed(errors.strip().rpartition("\n")[2] or f"exit {process.returncode}")
    return output


class LoadFailed(Exception):
    """A load failed; the message says why."""


class Clients:
    def __init__(self, load_program, processes, processor, generation):
        self.load_program = str(load_program)
        # The release of fio and nbdcopy, the same for every contender.
        self.generation = generation
        self.processes = processes
        # The processor of a bound client; None if there is only one.
        self.processor = processor

    def versions(self):
        """Returns the versions of the clients of other projects."""
        return [first_line(self.generation.command([name, "--version"])) for name in ("fio", "nbdcopy")]

    def run(self, server, row, seconds):
        """Puts a row's load on a server, and returns the measurements."""
        if row.client == "fio":
            return self.fio(server, row, seconds)
        if row.client == "nbdcopy":
            return self.nbdcopy(server, row)
        warm_up = seconds * WARM_UP_SHARE
        command = [self.load_program]
        if server.contender.is_limit:
            command += ["stream", "--workload", row.workload, "--block-size", str(row.block),
                        "--connections", str(row.connections)]
            command += ["--ping"] if row.depth == 1 else []
        else:
            command += ["run", *row.arguments()]
        if row.bound and self.processor is not None:
            command += ["--cpu-list", str(self.processor)]
        command += ["--seconds", str(seconds), "--warmup", str(warm_up), "--json", server.uri]
        return json.loads(self.output(command, seconds))

    def fill(self, server):
        """Writes every block, so that reads return data."""
        if server.kind == "tls":
            self.nbdcopy(server, loads.named("tls-write"))
        elif not server.contender.is_limit:
            self.output([self.load_program, "--workload", "write", "--sequential", "--block-size",
                         "1M", "--depth", "4", "--warmup", "0", "--seconds", "0.3", server.uri], 1)

    def fio(self, server, row, seconds):
        """Runs fio with its own NBD client, the load generator that most people have."""
        pattern = {"read": "randread", "write": "randwrite"}[row.workload]
        output = self.output(
            ["fio", "--name=load", "--ioengine=nbd", f"--uri={server.uri}", f"--rw={pattern}",
             f"--bs={row.block}", f"--iodepth={row.depth}", "--size=40m", "--time_based",
             f"--runtime={max(1, round(seconds))}s", "--output-format=json"], seconds)
        # A line about the engine may come before the JSON.
        figures = json.loads(output[output.index("{"):])["jobs"][0][row.workload]
        latency = figures["clat_ns"]
        if not figures["total_ios"]:
            # Without requests there are no percentiles.
            raise LoadFailed("no request completed in time")
        return {
            "iops": figures["iops"],
            "megabytes_per_second": figures["bw_bytes"] / 1e6,
            "latency_mean_us": latency["mean"] / 1e3,
            "latency_p50_us": latency["percentile"]["50.000000"] / 1e3,
            "latency_p99_us": latency["percentile"]["99.000000"] / 1e3,
            "total_requests": figures["total_ios"],
        }

    def nbdcopy(self, server, row):
        """Copies the whole disk with libnbd's nbdcopy, which speaks TLS."""
        source = self.processes.directory / "source"
        if not source.exists():
            source.write_bytes(os.urandom(1 << 20) * (server.size >> 20))
        ends = {"read": [server.uri, "null:"], "write": [str(source), server.uri]}[row.workload]
        started = time.monotonic()
        self.output(["nbdcopy", *ends], 5)
        seconds = time.monotonic() - started
        requests = server.size // row.block
        return {
            "iops": requests / seconds,
            "megabytes_per_second": server.size / seconds / 1e6,
            "total_requests": requests,
        }

    def output(self, command, seconds):
        process = self.processes.start(
            self.generation.command(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return output_of(process, self.processes, seconds * 2 + 60)
