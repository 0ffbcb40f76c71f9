"""What is counted: targets and loads."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    # The name of a function attach_NAME in the script guest.
    name: str
    title: str


@dataclass(frozen=True)
class Load:
    name: str
    title: str
    # A step of the script guest.
    step: str
    # Whether a quick run has it.
    quick: bool = False


TARGETS = [
    Target("up-1", "`ramdisk-nbd up`, one queue"),
    Target("up-2", "`ramdisk-nbd up`, two queues"),
    Target("serve-tcp", "`ramdisk-nbd serve`, TCP, nbd-client"),
    Target("nbdkit-unix", "nbdkit memory, Unix, nbd-client"),
    Target("nbdkit-tcp", "nbdkit memory, TCP, nbd-client"),
    Target("qemu-nbd", "qemu-nbd, Unix, tmpfs, nbd-client"),
    Target("nbd-server", "nbd-server, TCP, tmpfs, nbd-client"),
    Target("brd", "brd"),
    Target("null-blk", "null_blk, memory backed"),
    Target("zram", "zram"),
    Target("loop", "loop on tmpfs"),
]

# As many requests as a load needs to take over a hundred million instructions, of which fio's clock shows millions.
SMALL, MIDDLE, LARGE = 10000, 1600, 200

LOADS = [
    Load("read-4k-1", "4 KiB random read, 1 in flight", f"randread:4k:1:{SMALL}:direct", True),
    Load("read-4k-32", "4 KiB random read, 32 in flight", f"randread:4k:32:{SMALL}:direct", True),
    Load("read-4k-128", "4 KiB random read, 128 in flight", f"randread:4k:128:{SMALL}:direct"),
    Load("write-4k-1", "4 KiB random write, 1 in flight", f"randwrite:4k:1:{SMALL}:direct", True),
    Load("write-4k-32", "4 KiB random write, 32 in flight", f"randwrite:4k:32:{SMALL}:direct", True),
    Load("write-4k-128", "4 KiB random write, 128 in flight", f"randwrite:4k:128:{SMALL}:direct"),
    Load("read-128k", "128 KiB sequential read, 8 in flight", f"read:128k:8:{MIDDLE}:direct"),
    Load("write-128k", "128 KiB sequential write, 8 in flight", f"write:128k:8:{MIDDLE}:direct"),
    Load("read-1m", "1 MiB sequential read, 4 in flight", f"read:1M:4:{LARGE}:direct"),
    Load("write-1m", "1 MiB sequential write, 4 in flight", f"write:1M:4:{LARGE}:direct"),
]

# The targets of a quick run.
QUICK_TARGETS = ["up-1", "nbdkit-unix", "brd"]
