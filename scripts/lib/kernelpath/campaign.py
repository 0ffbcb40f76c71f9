"""Counts every load on every target, twice, and writes the results."""
import re
import subprocess
import tempfile
import time
from pathlib import Path

from . import machine, plan, report

LINE = re.compile(r"^(\S+) (-?\d+) (-?[\d.]+) (-?[\d.]+)$")
RUNS = 2


def run(repository, options, program):
    """Returns an exit status."""
    wanted = options.targets or (plan.QUICK_TARGETS if options.quick else [target.name for target in plan.TARGETS])
    targets = [target for target in plan.TARGETS if target.name in wanted]
    loads = [load for load in plan.LOADS
             if (load.name in options.only if options.only else load.quick or not options.quick)]
    output = options.output or repository / ".build" / "performance"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ramdisk-nbd-kernel.") as name:
        guest = machine.Machine(Path(name), program)
        results = {
            "kernel": guest.kernel(), "versions": machine.versions(Path(name) / "root"),
            "qemu": subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True,
                                   text=True).stdout.partition("\n")[0],
            "loads": {load.name: load.title for load in loads}, "targets": {}}
        for target in targets:
            began = time.monotonic()
            results["targets"][target.name] = count(guest, target, loads)
            report.write(results, output)
            print(f"{target.title}: {report.line(results, target.name)} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"Results are in {output}/kernel.md")
    return 0


def count(guest, target, loads):
    """The figures of each load on a target: a list with one entry for each run."""
    entry = {"title": target.title, "settings": "", "failed": "", "loads": {load.name: [] for load in loads}}
    steps = {load.step: load.name for load in loads}
    for _ in range(RUNS):
        try:
            lines = guest.run([target.name, *steps])
        except machine.Failed as failure:
            entry["failed"] = str(failure)
            break
        for line in lines:
            if line.startswith("settings "):
                entry["settings"] = line.removeprefix("settings ")
            match = LINE.match(line)
            if match and match[1] in steps:
                entry["loads"][steps[match[1]]].append(
                    {"instructions": int(match[2]), "switches": float(match[3]), "calls": float(match[4])})
    return entry
