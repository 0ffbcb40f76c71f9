"""Counts, which do not drift with the machine: system calls, allocations, wake-ups of an idle server."""
import re
import shutil
import signal
import subprocess
import time

from .clients import LoadFailed
from .processes import descendants, processor_seconds, wake_ups, wait_for

IDLE_CONNECTIONS = 100
IDLE_SECONDS = 5


def can_use_perf():
    """Returns whether perf can count system calls, which costs the server next to nothing."""
    if shutil.which("perf") is None:
        return False
    command = ["perf", "stat", "-e", "raw_syscalls:sys_enter", "true"]
    return subprocess.run(command, capture_output=True).returncode == 0


def system_calls(clients, server, row, seconds, with_perf):
    """Returns the server's system calls per 1000 requests."""
    path = clients.processes.directory / "calls"
    members = ",".join(map(str, [server.pid, *descendants(server.pid)]))
    if with_perf:
        command = ["perf", "stat", "-x", ",", "-o", str(path), "-e", "raw_syscalls:sys_enter",
                   "-p", members]
    else:
        command = ["strace", "-f", "-c", "-o", str(path), "-p", members]
    counter = clients.processes.start(command)
    time.sleep(0.5)
    try:
        requests = clients.run(server, row, seconds)["total_requests"]
    finally:
        counter.send_signal(signal.SIGINT)
        wait_for(lambda: counter.poll() is not None, 5)
        clients.processes.stop(counter.pid)
    text = path.read_text()
    calls = perf_total(text) if with_perf else strace_total(text)
    if calls is None or requests == 0:
        raise LoadFailed("cannot count the system calls")
    return calls * 1000 / requests


def perf_total(text):
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[2].startswith("raw_syscalls:") and fields[0].isdigit():
            return int(fields[0])
    return None


def strace_total(text):
    match = re.search(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", text, re.M)
    return int(match.group(1)) if match else None


def build_allocation_counter(repository, directory):
    """Builds the library that counts a process's heap allocations. Returns None without a compiler."""
    source = repository / "Tests" / "CountTests" / "AllocationCounter.c"
    library = directory / "counter.so"
    for compiler in ("clang", "cc", "gcc"):
        if shutil.which(compiler):
            command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)]
            if subprocess.run(command, capture_output=True).returncode == 0:
                return library
    return None


def allocations(clients, contender, library, path, row):
    """Returns a server's heap allocations per 1000 requests. A short load and a longer one have the
    same connections and handshakes, so the difference belongs to the requests."""
    environment = {"LD_PRELOAD": str(library), "COUNT_FILE": str(path)}
    server = contender.start(clients.processes, "unix", f"{contender.name}-counted", environment)
    try:
        clients.fill(server)
        seen = []
        for seconds in (0.2, 0.2, 1.0):
            before = int.from_bytes(path.read_bytes()[:8], "little")
            requests = clients.run(server, row, seconds)["total_requests"]
            time.sleep(0.05)
            seen.append((int.from_bytes(path.read_bytes()[:8], "little") - before, requests))
    finally:
        server.stop()
    # The first load only warms up.
    (_, (short, few), (long, many)) = seen
    if many <= few:
        raise LoadFailed("the machine was too busy to count")
    return round(max(0, long - short) * 1000 / (many - few), 1)


def idle(clients, servers):
    """Returns wake-ups and processor time of servers with many connections and no request."""
    results = {}
    holders = {}
    try:
        for name, server in servers.items():
            holders[name] = clients.processes.start(
                [clients.load_program, "idle", "--connections", str(IDLE_CONNECTIONS), "--seconds",
                 str(IDLE_SECONDS + 60), server.uri], stdout=subprocess.PIPE, text=True)
        for name, holder in holders.items():
            if holder.stdout.readline().strip() != "ready":
                results[name] = {"failed": f"does not accept {IDLE_CONNECTIONS} connections"}
        time.sleep(1)
        before = {name: (wake_ups(server.pid), processor_seconds(server.pid))
                  for name, server in servers.items()}
        time.sleep(IDLE_SECONDS)
        for name, server in servers.items():
            results.setdefault(name, {
                "connections": IDLE_CONNECTIONS,
                "wake_ups_per_second": (wake_ups(server.pid) - before[name][0]) / IDLE_SECONDS,
                "processor_ms_per_second":
                    (processor_seconds(server.pid) - before[name][1]) * 1000 / IDLE_SECONDS,
            })
    finally:
        for holder in holders.values():
            clients.processes.stop(holder.pid)
    return results
