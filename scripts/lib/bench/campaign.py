"""A whole run: rows, rounds, counts and sweeps."""
import os
import statistics
import subprocess
import time

from . import contenders, counts, loads
from .clients import WARM_UP_SHARE, Clients, LoadFailed
from .contenders import Unavailable
from .processes import OtherPrograms, processor_seconds

# Seconds that a load takes besides its own time, to start a client and to connect.
OVERHEAD_SECONDS = 0.1
# Seconds that measuring idle servers takes.
IDLE_COST = counts.IDLE_SECONDS + 2
# The share of the processors that other programs may use before a load is measured again.
QUIET = 0.1


class Campaign:
    def __init__(self, repository, options, processes, progress):
        release = repository / ".build" / "release"
        self.repository = repository
        self.options = options
        self.processes = processes
        self.progress = progress
        self.seconds = options.seconds or (0.4 if options.quick else 2)
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.contenders = contenders.all_of(release, options)
        self.servers = {}
        self.unavailable = {}
        self.versions = {}
        processors = sorted(os.sched_getaffinity(0))
        self.processors = processors
        # Client and server have a processor each, if there are two.
        self.server_processors = processors[:1]
        self.clients = Clients(
            release / "nbd-load", processes, processors[1] if len(processors) > 1 else None)

    def run(self, keep):
        """Measures everything. Passes the results so far to `keep` after each row."""
        rows = self.chosen_rows()
        sweeps = self.chosen_sweeps()
        self.plan(rows, sweeps)
        results = {
            "settings": {"rounds": self.rounds, "seconds": self.seconds, "size": contenders.SIZE},
            "complete": False, "rows": [], "sweeps": {name: [] for name in sweeps},
            "contenders": {}}

        def kept():
            results["contenders"] = self.describe_contenders()
            keep(results)

        for row in rows:
            results["rows"].append(self.measure_row(row, self.rounds))
            kept()
        for name, sweep in sweeps.items():
            for row in sweep:
                results["sweeps"][name].append(
                    self.measure_row(row, 1 if self.options.quick else 3, is_sweep=True))
                kept()
        if not self.options.no_counts:
            results["system_calls"] = self.count_system_calls()
            kept()
            results["allocations"] = self.count_allocations()
            kept()
            results["idle"] = self.measure_idle()
        results["complete"] = True
        kept()
        return results

    def describe_contenders(self):
        return {
            contender.name: {
                "title": contender.title, "version": self.version(contender),
                "command": contender.example, "is_limit": contender.is_limit,
                "unavailable": self.unavailable.get(contender.name)}
            for contender in self.contenders}

    def version(self, contender):
        """Asks a program for its version once, so that no program starts between the rows."""
        if contender.name not in self.versions:
            self.versions[contender.name] = contender.version()
        return self.versions[contender.name]

    # The plan

    def chosen_rows(self):
        if self.options.only:
            return [loads.named(name) for name in self.options.only]
        return [row for row in loads.ROWS if row.quick or not self.options.quick]

    def chosen_sweeps(self):
        # Only the charts show the sweeps.
        if not self.options.draws or self.options.only:
            return {}
        return {"depth": loads.depth_sweep(self.options.quick),
                "block": loads.block_sweep(self.options.quick)}

    def plan(self, rows, sweeps):
        """Announces the expected work to the progress display."""
        sweep_rounds = 1 if self.options.quick else 3
        for row in rows:
            self.progress.expect(self.rounds * sum(self.cost(c, row) for c in self.contenders))
        for row in [row for sweep in sweeps.values() for row in sweep]:
            self.progress.expect(sweep_rounds * sum(self.cost(c, row) for c in self.contenders))
        if not self.options.no_counts:
            loads_counted = len(loads.COUNTED) * 1.5 + len(loads.COUNTED_ALLOCATIONS) * 2
            self.progress.expect(len(self.counted_contenders) * loads_counted + IDLE_COST)

    def cost(self, contender, row):
        """Returns the seconds that a load will take."""
        if not self.applies(contender, row):
            return 0
        if row.client == "nbdcopy":
            return 1.5
        if row.client == "fio":
            return max(1, round(self.seconds)) + 0.5
        return self.seconds * (1 + WARM_UP_SHARE) + OVERHEAD_SECONDS

    @staticmethod
    def applies(contender, row):
        """Returns whether a contender can take a row. A plain stream goes one way and needs nbd-load."""
        if contender.rows is not None and row.name not in contender.rows:
            return False
        if row.replies == "extended" and not isinstance(contender, contenders.RamdiskNBD):
            return False
        if row.socket == "tls":
            return contender.speaks_tls
        return not contender.is_limit or (
            row.client == "nbd-load" and row.workload in ("read", "write") and row.replies == "simple")

    # Rows

    def measure_row(self, row, rounds, is_sweep=False):
        figures = {contender.name: [] for contender in self.contenders}
        failures = {}
        patience = self.options.wait_quiet
        for number in range(rounds):
            patience -= self.wait_for_quiet(patience)
            # Alternating order: a drift within a round goes the other way in the next.
            order = self.contenders if number % 2 == 0 else self.contenders[::-1]
            for contender in order:
                if not self.applies(contender, row):
                    continue
                self.progress.step(
                    f"{row.title}, round {number + 1} of {rounds}, {contender.title}",
                    self.cost(contender, row))
                try:
                    figures[contender.name].append(self.measure(contender, row))
                except (LoadFailed, Unavailable) as failure:
                    figures[contender.name].append(None)
                    failures[contender.name] = str(failure)
        result = {
            "name": row.name, "title": row.title, "workload": row.workload, "block": row.block,
            "depth": row.depth, "connections": row.connections, "socket": row.socket,
            "bound": row.bound and len(self.processors) > 1, "client": row.client,
            "rounds": figures, "failures": failures, "summary": summary(figures),
        }
        if not is_sweep:
            self.progress.say(line_of(result, self.contenders))
        return result

    def wait_for_quiet(self, patience):
        """Waits up to `patience` seconds for other programs to become idle. Returns the seconds it took."""
        started = time.monotonic()
        while time.monotonic() - started < patience:
            others = OtherPrograms()
            time.sleep(0.3)
            if others.share(0) < QUIET:
                break
            self.progress.say_more("waiting for a quiet machine")
        return time.monotonic() - started

    def measure(self, contender, row):
        """Returns the least disturbed of three tries; a quick run has one."""
        best = None
        for _ in range(1 if self.options.quick else 3):
            figures = self.measure_once(contender, row)
            if best is None or figures["disturbance"] < best["disturbance"]:
                best = figures
            if best["disturbance"] < QUIET:
                break
            self.progress.say_more("disturbed; measuring again")
        return best

    def measure_once(self, contender, row):
        server = self.server(contender, row.socket)
        server.bind(self.server_processors if row.bound and len(self.processors) > 1
                    else self.processors)
        before = processor_seconds(server.pid)
        others = OtherPrograms()
        figures = self.clients.run(server, row, self.seconds)
        # Time for the server to end the connection, and for a parent to collect its child's times.
        time.sleep(0.03)
        used = processor_seconds(server.pid) - before
        if not figures["iops"]:
            raise LoadFailed("no request completed in time")
        figures["disturbance"] = others.share(used)
        if figures.get("total_requests"):
            figures["server_cpu_us_per_request"] = used * 1e6 / figures["total_requests"]
        return figures

    def make_certificates(self):
        """Makes certificates for servers and clients, once."""
        directory = self.processes.directory / "certificates"
        if not directory.exists():
            subprocess.run([self.contenders[0].program, "tls", "init", str(directory)],
                           stdout=subprocess.DEVNULL, check=True)

    def server(self, contender, kind):
        """Returns a running server. Does not retry one that failed to start."""
        key = contender.name, kind
        if contender.name in self.unavailable:
            raise Unavailable(self.unavailable[contender.name])
        server = self.servers.get(key)
        if server is None or not server.is_alive():
            if kind == "tls":
                self.make_certificates()
            try:
                server = contender.start(self.processes, kind)
            except Unavailable as failure:
                self.unavailable[contender.name] = str(failure)
                self.progress.say(f"Left out: {failure}")
                raise
            self.clients.fill(server)
            self.servers[key] = server
        return server

    # Counts

    def count_system_calls(self):
        with_perf = counts.can_use_perf()
        result = {"with": "perf" if with_perf else "strace", "per_1000_requests": {}}
        for name in loads.COUNTED:
            row = loads.named(name)
            result["per_1000_requests"][name] = self.of_each_server(
                f"system calls, {row.title}", 1.5,
                lambda server, row=row: round(counts.system_calls(
                    self.clients, server, row, min(self.seconds, 1), with_perf), 1))
        return result

    def count_allocations(self):
        """Counts on separate servers, which preload the counter."""
        library = counts.build_allocation_counter(self.repository, self.processes.directory)
        if library is None:
            return {}
        result = {name: {} for name in loads.COUNTED_ALLOCATIONS}
        for contender in self.counted_contenders:
            path = self.processes.directory / f"{contender.name}.count"
            for name in loads.COUNTED_ALLOCATIONS:
                row = loads.named(name)
                self.progress.step(f"allocations, {row.title}, {contender.title}", 2)
                try:
                    result[name][contender.name] = counts.allocations(
                        self.clients, contender, library, path, row)
                except (LoadFailed, Unavailable) as failure:
                    result[name][contender.name] = {"failed": str(failure)}
        return result

    @property
    def counted_contenders(self):
        """The contenders whose calls, allocations and wake-ups are counted."""
        return [c for c in self.contenders if not c.is_limit and c.rows is None]

    def measure_idle(self):
        """Measures all servers at the same time, since idle servers do not disturb each other."""
        self.progress.step(f"idle with {counts.IDLE_CONNECTIONS} connections each", IDLE_COST)
        servers = {}
        failures = {}
        for contender in self.counted_contenders:
            try:
                servers[contender.name] = self.server(contender, "unix")
            except (LoadFailed, Unavailable) as failure:
                failures[contender.name] = {"failed": str(failure)}
        return counts.idle(self.clients, servers) | failures

    def of_each_server(self, what, seconds, measure):
        result = {}
        for contender in self.counted_contenders:
            self.progress.step(f"{what}, {contender.title}", seconds)
            try:
                server = self.server(contender, "unix")
                server.bind(self.server_processors)
                result[contender.name] = measure(server)
            except (LoadFailed, Unavailable) as failure:
                result[contender.name] = {"failed": str(failure)}
        return result


def summary(figures):
    """Returns the medians of each contender, and of the first contender's ratios to it, round by round."""
    first = next(iter(figures))
    result = {}
    for name, rounds in figures.items():
        valid = [each for each in rounds if each]
        if not valid:
            continue
        entry = {key: statistics.median(each[key] for each in valid)
                 for key in valid[0] if isinstance(valid[0][key], (int, float))
                 and all(key in each for each in valid)}
        # A round without a completed request has no ratio.
        ratios = [ours["iops"] / theirs["iops"]
                  for ours, theirs in zip(figures[first], rounds)
                  if ours and theirs and theirs["iops"] > 0]
        if name != first and ratios:
            entry["ratio"] = {"median": statistics.median(ratios), "min": min(ratios),
                              "max": max(ratios)}
        result[name] = entry
    return result


def line_of(row, all_contenders):
    """Returns a row as one line for the terminal."""
    parts = []
    for contender in all_contenders:
        entry = row["summary"].get(contender.name)
        if entry is None:
            if contender.name in row["failures"]:
                parts.append(f"{contender.name} failed")
        elif "ratio" not in entry:
            latency = entry.get("latency_p50_us")
            parts.append(f"{entry['iops']:,.0f}/s" + (f", {latency:.0f} us" if latency else ""))
        else:
            ratio = entry["ratio"]
            parts.append(f"{contender.name} {ratio['median']:.1f}x"
                         f" ({ratio['min']:.1f}-{ratio['max']:.1f})")
    return f"{row['title']}: " + "; ".join(parts)
