"""The results as Markdown, JSON and charts."""
import json
import os
import subprocess
from pathlib import Path

from . import loads

CHARTS = [
    ("ratios.svg", "Requests per second, relative to nbdkit memory"),
    ("latency-by-depth.svg", "Latency by requests in flight"),
    ("throughput-by-block-size.svg", "Throughput by block size"),
]


def write(results, output, charts):
    output.mkdir(parents=True, exist_ok=True)
    for name, _ in CHARTS:
        (output / name).unlink(missing_ok=True)
    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    if charts:
        draw(output)
    (output / "results.md").write_text(markdown(results, output))


def draw(output):
    """Draws the charts. Returns whether it could."""
    python = drawing_python()
    if python is None:
        print("No charts: matplotlib is not installed (--charts installs it)")
        return False
    script = Path(__file__).with_name("charts.py")
    result = subprocess.run([python, str(script), str(output)], capture_output=True, text=True)
    if result.returncode != 0:
        print("No charts: " + (result.stderr.strip().rpartition("\n")[2] or "matplotlib failed"))
    return result.returncode == 0


def drawing_python():
    """A Python with matplotlib, or None. Debian's package is for Debian's Python."""
    for python in ("/usr/bin/python3", "python3"):
        try:
            if subprocess.run([python, "-c", "import matplotlib"], capture_output=True).returncode == 0:
                return python
        except OSError:
            pass
    return None


def markdown(results, output):
    # Without unavailable contenders.
    shown = {name: contender for name, contender in results["contenders"].items()
             if not contender["unavailable"]}
    parts = [
        "# Measured results",
        "`scripts/bench` writes this file; do not edit it.",
        "" if results.get("complete", True) else "**Not complete**: the run was interrupted.",
        about(results),
        *(f"![{title}]({name})" for name, title in CHARTS if (output / name).exists()),
        "## Relative speed",
        "Requests per second of ramdisk-nbd divided by those of the other server, round by round: the "
        "median, and in brackets the lowest and highest. In percent for the plain stream, which is not "
        "an NBD server but sends the same bytes over the same kind of socket.",
        ratio_table(results, shown),
        "## Rates",
        "Medians: requests per second for blocks of up to 64 KiB, MB/s for larger ones.",
        rate_table(results, shown),
        "## Latency with one request in flight",
        "Median and 99th percentile in microseconds.",
        latency_table(results, shown),
        "## Processor time of the server",
        "Microseconds per request, user and kernel.",
        processor_table(results, shown),
    ]
    if "system_calls" in results:
        parts += [
            "## System calls",
            f"Per 1000 requests, counted with {results['system_calls']['with']}.",
            count_table(results["system_calls"]["per_1000_requests"], shown)]
    if results.get("allocations"):
        parts += [
            "## Heap allocations",
            "Per 1000 requests, counted by a preloaded library that replaces the C library's "
            "functions.",
            count_table(results["allocations"], shown)]
    if "idle" in results:
        parts += [
            "## Idle",
            idle_text(results), idle_table(results, shown)]
    parts += ["## Contenders", contender_table(results), "## To reproduce", again(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def about(results):
    machine, settings = results["machine"], results["settings"]
    text = (
        f"Measured on {machine['date']} at commit {machine['commit'] or 'unknown'}: "
        f"{machine['processors']} processors ({machine['processor']}, virtual machine: "
        f"{machine['virtual']}), {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
        f"{machine['system']}.")
    bound = ("One connection: the server is bound to one processor and the client to another, every "
             "contender alike. Several connections, fio and nbdcopy: the scheduler decides."
             if machine["processors"] > 1 else "With one processor, nothing is bound.")
    return (
        f"{text} {settings['rounds']} rounds of {settings['seconds']:g} seconds for each load, the "
        f"contenders taking turns; disks of {settings['size'] >> 20} MiB, written once beforehand. "
        f"{bound} The client is `nbd-load`, which batches, unless fio or nbdcopy is named "
        f"({', '.join(settings['clients'])}). "
        + disturbance(results))


def disturbance(results):
    """How much of the processors other programs used."""
    shares = sorted(figures["disturbance"] for row in results["rows"]
                    for rounds in row["rounds"].values() for figures in rounds if figures)
    if not shares:
        return ""
    return (f"Other programs, and other virtual machines on the same hardware, used "
            f"{shares[len(shares) // 2]:.0%} of the processors in the meantime (median; "
            f"{shares[-1]:.0%} at worst).")


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |",
             "| --- |" + " ---: |" * (len(header) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def per_row(results, shown, cell, rows=None):
    """A row for each load, a column for each contender."""
    header = ["load", *(contender["title"] for contender in shown.values())]
    lines = []
    for row in results["rows"] if rows is None else rows:
        cells = []
        for name in shown:
            entry = row["summary"].get(name)
            if entry is None:
                cells.append("failed" if name in row["failures"] else "")
            else:
                cells.append(cell(row, name, entry))
        lines.append([row["title"], *cells])
    return table(header, lines)


def ratio_table(results, shown):
    others = {name: contender for name, contender in shown.items() if name != "ramdisk-nbd"}

    def cell(_, name, entry):
        ratio = entry.get("ratio")
        if ratio is None:
            return ""
        if others[name]["is_limit"]:
            return "{median:.0%} ({min:.0%} to {max:.0%})".format(**ratio)
        return "**{median:.1f}** ({min:.1f} to {max:.1f})".format(**ratio)
    return per_row(results, others, cell)


def rate_table(results, shown):
    def cell(row, _, entry):
        if row["block"] > 64 * loads.K:
            return f"{entry['megabytes_per_second']:,.0f} MB/s"
        return f"{entry['iops']:,.0f}"
    return per_row(results, shown, cell)


def latency_table(results, shown):
    rows = [row for row in results["rows"] if row["depth"] == 1]
    if not rows:
        return "Not measured in this run."
    return per_row(
        results, shown,
        lambda _row, _name, entry: f"{entry['latency_p50_us']:.1f}, {entry['latency_p99_us']:.1f}"
        if "latency_p50_us" in entry else "", rows)


def processor_table(results, shown):
    servers = {name: contender for name, contender in shown.items() if not contender["is_limit"]}
    return per_row(
        results, servers,
        lambda _row, _name, entry: f"{entry['server_cpu_us_per_request']:.2f}"
        if "server_cpu_us_per_request" in entry else "")


def count_table(counted, shown):
    """A row for each counted load, a column for each counted server."""
    names = {server for values in counted.values() for server in values}
    servers = {name: contender for name, contender in shown.items() if name in names}

    def cell(value):
        return f"{value:,.0f}" if isinstance(value, (int, float)) else "failed"
    return table(["load", *(contender["title"] for contender in servers.values())],
                 [[loads.named(name).title, *(cell(values.get(server)) for server in servers)]
                  for name, values in counted.items()])


def idle_text(results):
    connections = next((entry["connections"] for entry in results["idle"].values()
                        if "connections" in entry), 0)
    return f"With {connections} connections open and no request." if connections else ""


def idle_table(results, shown):
    rows = []
    for name, entry in results["idle"].items():
        if name not in shown:
            continue
        if "failed" in entry:
            rows.append([shown[name]["title"], entry["failed"], ""])
        else:
            rows.append([shown[name]["title"], f"{entry['wake_ups_per_second']:.1f}",
                         f"{entry['processor_ms_per_second']:.1f}"])
    return table(["server", "wake-ups a second", "processor ms a second"], rows)


def contender_table(results):
    rows = []
    for contender in results["contenders"].values():
        what = contender["version"] or ("bytes without a protocol" if contender["is_limit"] else "")
        command = contender["command"].replace(os.getcwd() + "/", "")
        state = f" (left out: {contender['unavailable']})" if contender["unavailable"] else ""
        rows.append([contender["title"] + state, what, f"`{command}`"])
    return table(["contender", "version", "command, with its files in DIR"], rows).replace(
        "---: |", "--- |")


def again(results):
    return (
        "```sh\nscripts/bench            # everything\nscripts/bench --quick    # under three minutes\n"
        "scripts/bench --help     # single rows, single peers, another build to compare with\n```\n\n"
        "Rates on shared machines vary, threefold within an hour. The ratios within a round vary much "
        "less, and system calls not at all.")
