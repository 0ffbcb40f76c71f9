"""Draws the charts of a results.json: charts.py DIRECTORY. Needs matplotlib."""
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "ramdisk-nbd"  # the same results give the same file
import matplotlib.pyplot as plot  # noqa: E402
from matplotlib import ticker  # noqa: E402

COLORS = {"ramdisk-nbd": "#d1495b", "nbdkit": "#00798c", "nbdkit-malloc": "#66a5ad",
          "qemu-nbd": "#edae49", "nbd-server": "#8d6a9f", "stream": "#555555"}


def color(name):
    return COLORS.get(name, "#999999")


def save(figure, path, top=1):
    """Saves a figure. `top` is the share of its height for the axes."""
    figure.tight_layout(rect=(0, 0, 1, top))
    figure.savefig(path, metadata={"Date": None})
    plot.close(figure)


def ratios(results, contenders, path):
    """Draws bars for each load: requests per second divided by those of nbdkit memory in the same round."""
    base = "nbdkit"
    rows = [row for row in results["rows"] if base in row["summary"]]
    # A contender with only a row or two gets no bars.
    names = [name for name in contenders
             if name != base and 2 * sum(any(row["rounds"][name]) for row in rows) > len(rows)]
    if not rows or not names:
        return
    # No higher than the bars need, so that the chart fits on a page.
    figure, axes = plot.subplots(figsize=(9, 1.5 + 0.075 * len(rows) * (len(names) + 1)))
    height = 0.85 / len(names)
    for index, name in enumerate(names):
        places, middles, below, above = [], [], [], []
        for number, row in enumerate(rows):
            pairs = [each["iops"] / other["iops"]
                     for each, other in zip(row["rounds"][name], row["rounds"][base])
                     if each and other and other["iops"] > 0]
            if not pairs:
                continue
            pairs.sort()
            middle = (pairs[len(pairs) // 2] + pairs[(len(pairs) - 1) // 2]) / 2
            places.append(number + (index - (len(names) - 1) / 2) * height)
            middles.append(middle)
            below.append(middle - pairs[0])
            above.append(pairs[-1] - middle)
        axes.barh(places, middles, height, xerr=[below, above], label=contenders[name]["title"],
                  color=color(name), error_kw={"elinewidth": 0.6, "ecolor": "#333333"})
    axes.axvline(1, color=color(base), linewidth=1.5, label=contenders[base]["title"] + " = 1")
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("times nbdkit's rate (bar: median; line: lowest to highest round)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    # Above the first bar, where the legend hides nothing.
    figure.suptitle("Requests per second, relative to nbdkit memory", fontsize=10,
                    y=1 - 0.1 / figure.get_figheight(), va="top")
    figure.legend(*axes.get_legend_handles_labels(), loc="upper center", ncols=4, fontsize=8,
                  frameon=False, bbox_to_anchor=(0.5, 1 - 0.28 / figure.get_figheight()))
    save(figure, path, top=1 - 0.65 / figure.get_figheight())


def lines(sweep, contenders, key, of, path, title, horizontal, vertical, ticks=None):
    """Draws a line for each contender over a sweep."""
    figure, axes = plot.subplots(figsize=(8, 5))
    for name, contender in contenders.items():
        points = [(row[of], row["summary"][name][key]) for row in sweep
                  if key in row["summary"].get(name, {})]
        if points:
            axes.plot(*zip(*points), marker="o", markersize=4, label=contender["title"],
                      color=color(name), linestyle="--" if contender["is_limit"] else "-")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    values = [row[of] for row in sweep]
    axes.set_xticks(values, [ticks(value) if ticks else str(value) for value in values])
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis(ticker.FuncFormatter(lambda value, _: f"{value:g}" if leads(value) else ""))
    axes.tick_params(which="minor", labelsize=8)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    save(figure, path)


def leads(value):
    """Returns whether a number begins with 1, 2 or 5, which are enough labels on a logarithmic axis."""
    return f"{value:e}"[0] in "125"


def size_text(size):
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def main(directory):
    results = json.loads((directory / "results.json").read_text())
    contenders = {name: contender for name, contender in results["contenders"].items()
                  if not contender["unavailable"]}
    ratios(results, contenders, directory / "ratios.svg")
    sweeps = results.get("sweeps", {})
    servers = {name: contender for name, contender in contenders.items()
               if not contender["is_limit"]}
    if sweeps.get("depth"):
        lines(sweeps["depth"], servers, "latency_p50_us", "depth",
              directory / "latency-by-depth.svg", "4 KiB random reads, one Unix connection",
              "requests in flight", "median latency in microseconds")
    if sweeps.get("block"):
        lines(sweeps["block"], contenders, "megabytes_per_second", "block",
              directory / "throughput-by-block-size.svg",
              "Random reads, 16 in flight, one Unix connection", "block size", "MB/s", size_text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
