"""The rows of the benchmark: the loads for every contender."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    workload: str
    block: int
    depth: int
    # unix, tcp, or tls: a Unix socket with TLS.
    socket: str = "unix"
    connections: int = 1
    # Whether server and client are bound to a processor each; with several connections the scheduler decides.
    bound: bool = True
    client: str = "nbd-load"
    quick: bool = False
    # The messages of the transmission phase; Contender.replies says which server speaks which.
    replies: str = "simple"

    def arguments(self):
        return ["--workload", self.workload, "--block-size", str(self.block),
                "--depth", str(self.depth), "--connections", str(self.connections),
                "--replies", self.replies]


K = 1024
M = 1024 * K

ROWS = [
    Row("read-4k", "4 KiB random read, 128 in flight, Unix", "read", 4 * K, 128, quick=True),
    Row("write-4k", "4 KiB random write, 128 in flight, Unix", "write", 4 * K, 128, quick=True),
    Row("structured-read-4k", "4 KiB random read, structured replies, 128 in flight, Unix", "read",
        4 * K, 128, replies="structured"),
    Row("extended-read-4k", "4 KiB random read, extended headers, 128 in flight, Unix", "read",
        4 * K, 128, replies="extended"),
    Row("mixed-4k", "4 KiB 70 % read, 30 % write, 128 in flight, Unix", "mixed", 4 * K, 128),
    Row("tcp-read-4k", "4 KiB random read, 128 in flight, TCP", "read", 4 * K, 128, "tcp", quick=True),
    Row("tcp-write-4k", "4 KiB random write, 128 in flight, TCP", "write", 4 * K, 128, "tcp",
        quick=True),
    Row("tcp-mixed-4k", "4 KiB 70 % read, 30 % write, 128 in flight, TCP", "mixed", 4 * K, 128, "tcp"),
    Row("read-4k-4c", "4 KiB random read, 4 connections x 128, Unix", "read", 4 * K, 128,
        connections=4, bound=False, quick=True),
    Row("write-4k-4c", "4 KiB random write, 4 connections x 128, Unix", "write", 4 * K, 128,
        connections=4, bound=False),
    Row("read-4k-16c", "4 KiB random read, 16 connections x 128, Unix", "read", 4 * K, 128,
        connections=16, bound=False),
    Row("write-4k-16c", "4 KiB random write, 16 connections x 128, Unix", "write", 4 * K, 128,
        connections=16, bound=False),
    Row("read-128k", "128 KiB random read, 32 in flight, Unix", "read", 128 * K, 32, quick=True),
    Row("write-128k", "128 KiB random write, 32 in flight, Unix", "write", 128 * K, 32, quick=True),
    Row("tcp-read-128k", "128 KiB random read, 32 in flight, TCP", "read", 128 * K, 32, "tcp"),
    Row("tcp-write-128k", "128 KiB random write, 32 in flight, TCP", "write", 128 * K, 32, "tcp"),
    Row("read-1m", "1 MiB random read, 8 in flight, Unix", "read", M, 8),
    Row("write-1m", "1 MiB random write, 8 in flight, Unix", "write", M, 8),
    Row("read-4k-1", "4 KiB random read, 1 in flight, Unix", "read", 4 * K, 1, quick=True),
    Row("write-4k-1", "4 KiB random write, 1 in flight, Unix", "write", 4 * K, 1, quick=True),
    Row("tcp-read-4k-1", "4 KiB random read, 1 in flight, TCP", "read", 4 * K, 1, "tcp"),
    Row("tcp-write-4k-1", "4 KiB random write, 1 in flight, TCP", "write", 4 * K, 1, "tcp"),
    Row("fio-read-4k", "4 KiB random read, 128 in flight, Unix, fio", "read", 4 * K, 128,
        bound=False, client="fio", quick=True),
    # nbdcopy's defaults: 256 KiB, 64 in flight, up to 4 connections if the server allows them.
    Row("tls-read", "a whole disk of 256 MiB read, TLS, Unix, nbdcopy", "read", 256 * K, 64, "tls",
        connections=4, bound=False, client="nbdcopy"),
    Row("tls-write", "a whole disk of 256 MiB written, TLS, Unix, nbdcopy", "write", 256 * K, 64, "tls",
        connections=4, bound=False, client="nbdcopy"),
]

# The loads whose system calls are counted, and those whose allocations are.
COUNTED = ["read-4k", "write-4k", "read-4k-1"]
COUNTED_ALLOCATIONS = ["read-4k", "write-4k"]


def named(name):
    return next(row for row in ROWS if row.name == name)


def depth_sweep(quick):
    """Latency by depth."""
    depths = [1, 8, 32, 128] if quick else [1, 2, 4, 8, 16, 32, 64, 128]
    return [Row(f"depth-{depth}", f"4 KiB random read, {depth} in flight, Unix", "read", 4 * K, depth)
            for depth in depths]


def block_sweep(quick):
    """Throughput by block size."""
    sizes = [4 * K, 64 * K, M] if quick else [4 * K << shift for shift in range(9)]
    return [Row(f"block-{size}", f"{size // K} KiB random read, 16 in flight, Unix", "read", size, 16)
            for size in sizes]
