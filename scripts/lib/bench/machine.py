"""The machine of a measurement."""
import datetime
import os
import platform
import re
import subprocess
from pathlib import Path


def describe(repository):
    processors = len(os.sched_getaffinity(0))
    memory = next((int(line.split()[1]) for line in lines("/proc/meminfo")
                   if line.startswith("MemTotal:")), 0)
    return {
        "processor": processor_name(),
        "processors": processors,
        "virtual": virtualization(),
        "memory_gib": round(memory / (1 << 20), 1),
        "kernel": platform.release(),
        "system": next((line.partition("=")[2].strip('"') for line in lines("/etc/os-release")
                        if line.startswith("PRETTY_NAME=")), platform.system()),
        "date": datetime.date.today().isoformat(),
        "commit": output(["git", "-C", str(repository), "rev-parse", "--short", "HEAD"]),
        "load_before": Path("/proc/loadavg").read_text().split()[0],
    }


def processor_name():
    """Returns the name in /proc/cpuinfo; some virtual machines show only the family."""
    found = {}
    for line in lines("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name") or platform.machine()
    if "cpu family" in found:
        name += f" (family {found['cpu family']}, model {found.get('model', '?')})"
    return name


def virtualization():
    name = output(["systemd-detect-virt", "--vm"])
    if name and name != "none":
        return name
    return "yes" if any("hypervisor" in line for line in lines("/proc/cpuinfo")) else "no"


def lines(path):
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def output(command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def first_line(command):
    """Returns the first line that a program prints about its version."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    line = (result.stdout + result.stderr).strip().partition("\n")[0]
    return re.sub(r"^(This is |/usr/bin/)", "", line)
