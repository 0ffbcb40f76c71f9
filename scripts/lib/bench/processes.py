"""Starts programs, watches them through /proc, and ends each by its pid."""
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Processes:
    """The started programs. All of them end with this object, also after an interruption."""

    def __init__(self):
        self.running = {}
        self.directory = None

    def __enter__(self):
        parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="ramdisk-nbd-bench.", dir=parent))
        return self

    def __exit__(self, *_):
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        for pid in list(self.running):
            self.stop(pid)
        shutil.rmtree(self.directory, ignore_errors=True)
        for number in signals:
            signal.signal(number, signal.SIG_DFL)

    def start(self, command, **options):
        """Starts a program in a session of its own, so that Ctrl-C reaches only the benchmark. The
        program ends with the benchmark, even if that is killed."""
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        self.running[process.pid] = process
        return process

    def adopt(self, pid, launcher):
        """Tracks a program that its launcher has put into the background."""
        launcher.wait()
        self.running.pop(launcher.pid, None)
        self.running[pid] = None

    def stop(self, pid):
        """Ends a program and its descendants."""
        if pid not in self.running:
            return
        process = self.running[pid]
        if process is not None and process.poll() is not None:
            # Another process may have the pid by now.
            del self.running[pid]
            return
        family = [pid, *descendants(pid)]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for member in family:
                try:
                    os.kill(member, number)
                except ProcessLookupError:
                    pass
            if wait_for(lambda: not any(is_alive(member) for member in family), 5):
                break
        if process is not None:
            process.wait()
        del self.running[pid]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds):
    """Waits for a condition. Returns whether it became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def descendants(pid):
    """Returns the pids of all descendants."""
    found = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except OSError:
        pass
    return found


def processor_seconds(pid):
    """Returns the processor time of a program, its descendants and its ended children."""
    total = 0
    for member in [pid, *descendants(pid)]:
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # utime and stime; for the program itself also cutime and cstime.
        total += sum(int(field) for field in fields[11:15 if member == pid else 13])
    return total / TICKS


def wake_ups(pid):
    """Returns how often a program's threads went to sleep, and so how often they had woken."""
    total = 0
    for member in [pid, *descendants(pid)]:
        try:
            tasks = list(Path(f"/proc/{member}/task").iterdir())
        except OSError:
            continue
        for task in tasks:
            try:
                status = (task / "status").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    total += int(line.split()[1])
    return total


class OtherPrograms:
    """The processor time that others have used since this object was made: programs that are neither server
    nor client, and other virtual machines on the same hardware."""

    def __init__(self):
        self.started = time.monotonic()
        self.busy = busy_seconds()
        self.clients = ended_children_seconds()

    def share(self, server_seconds):
        """Returns it as a share of all processor time."""
        ours = server_seconds + ended_children_seconds() - self.clients
        whole = (time.monotonic() - self.started) * os.cpu_count()
        return max(0.0, (busy_seconds() - self.busy - ours) / whole)


def busy_seconds():
    """Returns the processor time of all programs, and the time that the hypervisor gave to others."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, interrupts, soft_interrupts, stolen = fields[:8]
    return (user + nice + system + interrupts + soft_interrupts + stolen) / TICKS


def ended_children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
