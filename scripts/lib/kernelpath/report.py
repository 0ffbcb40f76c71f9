"""The counts as Markdown and JSON."""
import json


def write(results, output):
    (output / "kernel.json").write_text(json.dumps(results, indent=1) + "\n")
    (output / "kernel.md").write_text(markdown(results))


def mean(results, target, load, figure):
    """The mean of the runs; None without a run."""
    runs = results["targets"][target]["loads"].get(load, [])
    return sum(run[figure] for run in runs) / len(runs) if runs else None


def spread(results):
    """The largest difference between two runs of a load, as a share of their mean."""
    return max((difference(runs) for entry in results["targets"].values() for runs in entry["loads"].values()),
               default=0)


def difference(runs):
    counts = [run["instructions"] for run in runs]
    return (max(counts) - min(counts)) / (sum(counts) / len(counts)) if len(counts) > 1 else 0


def line(results, target):
    """The instructions of a target in one line, for the terminal."""
    entry = results["targets"][target]
    if entry["failed"]:
        return f"failed: {entry['failed']}"
    return ", ".join(f"{load} {mean(results, target, load, 'instructions') / 1000:.1f}"
                     + (f" (runs differ by {difference(runs):.0%})" if difference(runs) > 0.02 else "")
                     for load, runs in entry["loads"].items() if runs)


def table(results, figure, text):
    """A row for each target, a column for each load. A row without any figure is left out."""
    loads = results["loads"]
    lines = ["| target | " + " | ".join(loads.values()) + " |", "| --- |" + " ---: |" * len(loads)]
    for target, entry in results["targets"].items():
        means = [mean(results, target, load, figure) for load in loads]
        if any(value is not None for value in means):
            lines.append(f"| {entry['title']} | "
                         + " | ".join("" if value is None else text(value) for value in means) + " |")
    return "\n".join(lines)


def settings(results):
    lines = ["| target | settings |", "| --- | --- |"]
    return "\n".join(lines + [f"| {entry['title']} | {entry['settings'] or entry['failed']} |"
                              for entry in results["targets"].values()])


def markdown(results):
    return f"""# Through the kernel

`scripts/bench --kernel` writes this file; do not edit it.

Counts for a request of fio (libaio, O_DIRECT), through Linux {results['kernel']} on one emulated processor and back.
An emulated count does not depend on how fast or busy a machine is. It knows no caches, no wake-up that takes time and
no second processor, so it says what a path costs, not how long it takes.

Each count is the mean of two runs, in kernels of their own. They differ by at most {spread(results):.1%}.

## Instructions

Thousands, of the kernel and of all programs. fio itself and the system calls that it makes are in every figure.

{table(results, "instructions", lambda value: f"{value / 1000:.1f}")}

## Context switches

{table(results, "switches", lambda value: f"{max(value, 0):.2f}")}

## System calls

Of all programs but fio. A target without one has no server.

{table(results, "calls", lambda value: f"{max(value, 0):.2f}")}

## Versions and settings

{', '.join(results['versions'].values())}; {results['qemu']}.

{settings(results)}
"""
