"""The latency of small reads on one connection while other clients are busy: `scripts/bench --latency`.

The reader has one read of 4 KiB in flight. Each row is what the others do meanwhile. Server, reader and
each of the others are in sessions of their own, as services and their clients are, so the kernel may
schedule them as groups (autogroups); every row is measured with that on and off where it can be set.
"""
import json
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import contenders, report
from .clients import LoadFailed, output_of
from .contenders import Unavailable
from .processes import OtherPrograms, processor_seconds

SIZE = 512 << 20
AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")
# Seconds that the others have before the first read counts.
HEAD_START = 0.5
PEERS = ["nbdkit", "qemu-nbd"]
FIGURES = [("latency_p50_us", "50 %"), ("latency_p99_us", "99 %"), ("latency_p99_9_us", "99.9 %"),
           ("latency_max_us", "longest")]
# What tells from the JSON of each of the others how much it did.
WORK = {"stream": ("megabytes_per_second", "writes {:,.0f} MB/s"),
        "scrub": ("megabytes_per_second", "reads {:,.0f} MB/s"),
        "trim": ("iops", "{:,.0f} trims/s"),
        "connect": ("connections_per_second", "{:,.0f} connections/s"),
        "snapshots": ("per_second", "{:,.0f} snapshots/s"),
        "scrape": ("per_second", "{:,.0f} scrapes/s")}

LOADS = {
    "stream": ["--workload", "write", "--block-size", "1M", "--depth", "4", "--connections", "3"],
    "scrub": ["--workload", "read", "--sequential", "--block-size", "32M", "--depth", "1"],
    "trim": ["--workload", "trim", "--block-size", str(SIZE), "--depth", "1"],
}
# The loads on the control socket, which only ramdisk-nbd has.
CONTROL = ["snapshots", "scrape"]


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    others: tuple

    def applies(self, contender):
        return (isinstance(contender, contenders.RamdiskNBD)
                or not any(other in CONTROL for other in self.others))


ROWS = [
    Row("quiet", "nothing else", ()),
    Row("stream", "3 connections write 1 MiB, 4 in flight each", ("stream",)),
    Row("scrub", "1 connection reads 32 MiB at a time", ("scrub",)),
    Row("stream-trim", "3 connections write 1 MiB, 1 trims the whole disk", ("stream", "trim")),
    Row("snapshots", "3 connections write 1 MiB, snapshots are taken and deleted",
        ("stream", "snapshots")),
    Row("connect", "1,000 clients a second connect and leave", ("connect",)),
    Row("scrape", "metrics are scraped without a pause", ("scrape",)),
    Row("all", "all who write, read, trim and connect at once",
        ("stream", "scrub", "trim", "connect")),
]


@contextmanager
def autogroups(value):
    """Sets the kernel's group scheduling of sessions, and puts back what was set."""
    before = AUTOGROUP.read_text()
    try:
        AUTOGROUP.write_text(value)
        yield
    finally:
        AUTOGROUP.write_text(before)


def settings():
    """Returns the values that can be measured: the present one alone where it cannot be set."""
    try:
        present = AUTOGROUP.read_text().strip()
        AUTOGROUP.write_text(present)
    except OSError:
        return [None]
    return ["0", "1"]


class LatencyCampaign:
    def __init__(self, repository, options, processes, progress):
        self.release = repository / ".build" / "release"
        self.options = options
        self.processes = processes
        self.progress = progress
        self.seconds = options.seconds or (1 if options.quick else 4)
        self.rounds = options.rounds or (1 if options.quick else 5)
        self.contenders = self.make_contenders()
        self.rows = [row for row in ROWS if not options.only or row.name in options.only]
        self.servers = {}
        # The servers whose disks a row has trimmed.
        self.trimmed = set()
        self.unavailable = {}

    def make_contenders(self):
        """Returns ramdisk-nbd, other builds of it, and the peers."""
        extra = self.options.server_options.split()

        def ours(program, name, title):
            return contenders.RamdiskNBD(
                program, ["--control", str(self.control(name)), *extra], name, title)
        also = [ours(Path(path).resolve(), name, f"ramdisk-nbd, {name}")
                for name, _, path in (entry.partition("=") for entry in self.options.also)]
        return [ours(self.release / "ramdisk-nbd", "ramdisk-nbd", "ramdisk-nbd"), *also,
                *(peer for peer in contenders.all_of(self.release, self.options)
                  if peer.name in (self.options.against or PEERS))]

    def control(self, name):
        return self.processes.directory / f"{name}.control"

    def run(self, keep):
        """Measures all rows, and passes the results so far to `keep` after each."""
        choices = settings()
        results = {"settings": {"rounds": self.rounds, "seconds": self.seconds, "size": SIZE,
                                "autogroups": choices}, "rows": [], "contenders": {}}
        turns = sum(row.applies(contender) for row in self.rows for contender in self.contenders)
        self.progress.expect(turns * self.rounds * len(choices) * self.cost)
        for row in self.rows:
            results["rows"].append(self.measure_row(row, choices))
            results["contenders"] = {
                contender.name: {"title": contender.title, "version": contender.version(),
                                 "command": contender.example,
                                 "unavailable": self.unavailable.get(contender.name)}
                for contender in self.contenders}
            keep(results)
        return results

    @property
    def cost(self):
        return self.seconds + HEAD_START + 0.7

    def measure_row(self, row, choices):
        rounds = []
        for number in range(self.rounds):
            order = self.contenders if number % 2 == 0 else self.contenders[::-1]
            for choice in choices:
                for contender in order:
                    if not row.applies(contender) or contender.name in self.unavailable:
                        continue
                    self.progress.step(f"{row.title}, round {number + 1} of {self.rounds}, "
                                       f"{contender.title}", self.cost)
                    rounds.append({"contender": contender.name, "autogroups": choice,
                                   **self.measure_with(choice, contender, row)})
        return {"name": row.name, "title": row.title, "rounds": rounds}

    def measure_with(self, choice, contender, row):
        try:
            if choice is None:
                return self.measure(contender, row)
            with autogroups(choice):
                return self.measure(contender, row)
        except Unavailable as failure:
            self.unavailable[contender.name] = str(failure)
            return {"failed": str(failure)}
        except LoadFailed as failure:
            return {"failed": str(failure)}

    def measure(self, contender, row):
        """Returns the latency of the reader, and what each of the others did."""
        server = self.server(contender)
        if "trim" in row.others:
            self.trimmed.add(contender.name)
        before = processor_seconds(server.pid)
        foreign = OtherPrograms()
        others = {other: self.start(self.disturb(other, server, contender)) for other in row.others}
        try:
            time.sleep(HEAD_START)
            reader = self.start([self.release / "nbd-load", "--depth", "1", "--warmup", "0", "--seconds",
                                 self.seconds, "--json", server.uri])
            figures = self.output(reader)
            work = {name: self.output(process) for name, process in others.items()}
            used = processor_seconds(server.pid) - before
            return {**{key: figures[key] for key, _ in FIGURES}, "reads": figures["requests"],
                    "others": work, "disturbance": foreign.share(used)}
        finally:
            for process in others.values():
                self.processes.stop(process.pid)

    def server(self, contender):
        """Returns the contender's server, started and full of data."""
        name = contender.name
        if name not in self.servers or not self.servers[name].is_alive():
            self.servers[name] = contender.start(self.processes, "unix", size=SIZE)
            self.trimmed.add(name)
        if name in self.trimmed:
            self.output(self.start([self.release / "nbd-load", "--workload", "write", "--sequential",
                                    "--block-size", "1M", "--depth", "4", "--warmup", "0", "--seconds",
                                    "1", "--json", self.servers[name].uri]))
            self.trimmed.discard(name)
        return self.servers[name]

    def disturb(self, other, server, contender):
        """Returns the command of a disturbing program, which lasts a little longer than the reader."""
        seconds = self.seconds + HEAD_START + 0.2
        if other in CONTROL:
            return [sys.executable, Path(__file__).with_name("control_load.py"), other,
                    self.control(contender.name), seconds]
        load = ["connect"] if other == "connect" else ["run", *LOADS[other], "--warmup", "0"]
        return [self.release / "nbd-load", *load, "--seconds", seconds, "--json", server.uri]

    def start(self, command):
        return self.processes.start([str(part) for part in command], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True)

    def output(self, process):
        """Returns the JSON that a program prints."""
        return json.loads(output_of(process, self.processes, self.seconds * 3 + 60))


# The report

def write(results, output):
    output.mkdir(parents=True, exist_ok=True)
    (output / "latency.json").write_text(json.dumps(results, indent=1) + "\n")
    (output / "latency.md").write_text(markdown(results))


def markdown(results):
    values, machine = results["settings"], results["machine"]
    parts = [
        "# Latency beside busy clients",
        "`scripts/bench --latency` writes this file; do not edit it.",
        f"Measured on {machine['date']} at commit {machine['commit'] or 'unknown'}: "
        f"{machine['processors']} processors ({machine['processor']}, virtual machine: "
        f"{machine['virtual']}), Linux {machine['kernel']}, {machine['system']}; load average before: "
        f"{machine['load_before']}. {values['rounds']} rounds of {values['seconds']:g} seconds for each "
        f"row, the servers taking turns; a disk of {values['size'] >> 20} MiB, Unix sockets. "
        + disturbance(results),
        "Milliseconds that one client's reads of 4 KiB take, one in flight, while other clients do what "
        "the row says: the 50th, 99th and 99.9th percentile, each as the median of the rounds, and the "
        "longest read of all rounds."]
    for choice in values["autogroups"]:
        parts.append(f"## {heading(choice)}")
        parts.append(latency_table(results, choice))
        parts.append("What the others did meanwhile, medians:")
        parts.append(work_table(results, choice))
    parts += ["## Servers", report.contender_table(
        {"contenders": {name: {**entry, "is_limit": False}
                        for name, entry in results["contenders"].items()}})]
    return "\n\n".join(parts) + "\n"


def disturbance(results):
    """How much of the processors other programs used."""
    shares = sorted(entry["disturbance"] for row in results["rows"] for entry in row["rounds"]
                    if "failed" not in entry)
    if not shares:
        return ""
    return (f"Other programs, and other virtual machines on the same hardware, used "
            f"{shares[len(shares) // 2]:.0%} of the processors in the meantime (median; "
            f"{shares[-1]:.0%} at worst).")


def heading(choice):
    return {"0": "Without autogroups (`kernel.sched_autogroup_enabled=0`)",
            "1": "With autogroups (`kernel.sched_autogroup_enabled=1`)",
            None: "As the machine is set"}[choice]


def of(row, name, choice):
    """Returns the successful rounds of a server with a setting."""
    return [entry for entry in row["rounds"] if entry["contender"] == name
            and entry["autogroups"] == choice and "failed" not in entry]


def latency_table(results, choice):
    def cell(row, name):
        rounds = of(row, name, choice)
        if not rounds:
            return "failed" if any(entry["contender"] == name for entry in row["rounds"]) else ""
        middle = [statistics.median(entry[key] for entry in rounds) / 1e3 for key, _ in FIGURES[:-1]]
        longest = max(entry[FIGURES[-1][0]] for entry in rounds) / 1e3
        return " / ".join(f"{value:.2f}" for value in middle) + f" / **{longest:.1f}**"
    return table(results, cell)


def work_table(results, choice):
    def cell(row, name):
        rounds = of(row, name, choice)
        done = []
        for other in rounds[0]["others"] if rounds else []:
            key, form = WORK[other]
            done.append(form.format(statistics.median(entry["others"][other][key]
                                                      for entry in rounds)))
        return ", ".join(done)
    return table(results, cell)


def table(results, cell):
    shown = {name: entry for name, entry in results["contenders"].items() if not entry["unavailable"]}
    return report.table(["beside", *(entry["title"] for entry in shown.values())],
                        [[row["title"], *(cell(row, name) for name in shown)]
                         for row in results["rows"]])
