"""What is asked: hosts, how they fail, and how copies are placed. Times are in hours, sizes in bytes."""
import math
import re
from dataclasses import dataclass

YEAR = 8766.0  # 365.25 days
DURATIONS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0, "y": YEAR}
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LAYOUTS = ("raid1", "raid10", "raid0")
PLACEMENTS = ("spread", "random", "together")
# md's superblock has room for no more (mdadm, super1.c: MAX_DEVS).
MOST_MEMBERS = 1920


@dataclass(frozen=True)
class Plan:
    """A fleet of hosts, each with one member of a pool. A time of infinity means that it never happens."""

    hosts: int = 2
    layout: str = "raid1"
    copies: int = 2
    # Members of each pool of `raid10` and `raid0`. 0: all hosts. A pool of `raid1` has one for each copy.
    members: int = 0
    # From the start of a host to the next loss of its memory: crash, reboot, kill or power loss of this host alone.
    # "Servers will crash at least twice" a year: Dean, keynote of LADIS 2009.
    crash_every: float = YEAR / 2
    # Until a host, this or another, is there and somebody has run `pool replace`. An assumption.
    repair: float = 1.0
    # How often a host is cut off and keeps its memory, and until it is back and `pool replace --re-add` was run.
    # Assumptions.
    cut_every: float = YEAR
    cut_repair: float = 1.0
    member_size: float = 32 << 30
    # Bytes a second. 200,000 KiB/s is the kernel's own limit (speed_limit_max, md(4)), not a measurement.
    rebuild_rate: float = 200_000 * 1024
    # Bytes that programs write while a host is cut off.
    changed: float = 1 << 30
    # Hosts of one rack or power domain, and how often all of them lose their memory at once. Racks have 40 to 80
    # machines (Dean) and fail every 10.2 years (Ford and others, OSDI 2010), whatever the reason.
    domain_hosts: int = 40
    domain_every: float = 10 * YEAR
    placement: str = "spread"
    # How often the whole site loses its power, and every host its memory. Nobody publishes it.
    site_every: float = math.inf
    # From a loss of data until the pool is there again, filled from elsewhere.
    restore: float = 4.0
    # Whether repairs and rebuilds take exactly these times; otherwise the times are exponential with these means.
    fixed: bool = False

    def __post_init__(self):
        def settle(name, value):
            object.__setattr__(self, name, value)

        if self.layout not in LAYOUTS or self.placement not in PLACEMENTS:
            raise ValueError(f"unknown layout {self.layout} or placement {self.placement}")
        if self.layout == "raid0":
            # Each domain holds all copies of some blocks: the only one.
            settle("copies", 1)
            settle("placement", "together")
        elif self.copies < 2:
            raise ValueError(f"{self.layout} needs at least 2 copies")
        elif self.layout == "raid10" and self.copies != 2:
            raise ValueError("a pool of level 10 has 2 copies")
        size = self.pool_size
        if size % self.copies:
            raise ValueError(f"{size} members are no multiple of {self.copies} copies")
        if size > MOST_MEMBERS:
            raise ValueError(f"a pool has at most {MOST_MEMBERS:,} members, not {size:,}: use --members")
        if self.hosts < size or self.hosts % size:
            raise ValueError(f"{self.hosts} hosts are no multiple of {size} members")

    @property
    def pool_size(self):
        """Members of each pool."""
        return self.copies if self.layout == "raid1" else self.members or self.hosts

    @property
    def set_count(self):
        """Sets of hosts that hold the same blocks."""
        return self.hosts // self.copies

    @property
    def sets_per_pool(self):
        return self.pool_size // self.copies

    @property
    def pool_count(self):
        return self.hosts // self.pool_size

    @property
    def domain_count(self):
        """Racks or power domains: as few as hold the hosts, and one for each copy if copies are spread."""
        count = math.ceil(self.hosts / self.domain_hosts)
        return max(count, self.copies) if self.placement == "spread" else count

    @property
    def failure_rates(self):
        """How often an hour a host loses its memory, a host is cut off, a domain and the site lose their memory."""
        return [self.hosts * rate(self.crash_every), self.hosts * rate(self.cut_every),
                self.domain_count * rate(self.domain_every), rate(self.site_every)]

    @property
    def rebuild(self):
        """Hours to fill a member."""
        return self.member_size / self.rebuild_rate / 3600

    @property
    def catch_up(self):
        """Hours to copy what has changed to a member that is back with its memory."""
        return min(self.changed, self.member_size) / self.rebuild_rate / 3600


def rate(time):
    """Returns how often an hour something happens that happens each `time` hours; 0 for infinity."""
    return 1 / time if time < math.inf else 0.0


def parse_duration(text):
    """Returns the hours of `90s`, `10m`, `1.5h`, `30d`, `2y` or `never`."""
    if text == "never":
        return math.inf
    match = re.fullmatch(r"([0-9.]+)([smhdy])", text)
    value = float(match[1]) * DURATIONS[match[2]] if match else 0
    if value <= 0:
        raise ValueError(f"{text} is no duration: 90s, 10m, 1.5h, 30d, 2y, or never")
    return value


def parse_size(text):
    """Returns the bytes of `512M`, `32G` or `1.5T`, with powers of 1024."""
    match = re.fullmatch(r"([0-9.]+)([KMGT]?)", text)
    value = float(match[1]) * SIZES[match[2]] if match else 0
    if value <= 0:
        raise ValueError(f"{text} is no size: 512M, 32G, 1.5T")
    return value


def format_duration(hours):
    """Returns a duration in the largest unit that leaves at least 1, to three digits."""
    if hours == math.inf:
        return "never"
    for unit, name in (("y", "years"), ("d", "days"), ("h", "hours"), ("m", "minutes")):
        if hours >= DURATIONS[unit]:
            return f"{short(hours / DURATIONS[unit])} {name}"
    return f"{short(hours * 3600)} seconds"


def short(value):
    """Returns a number with three digits, and with separators if it is long."""
    if value == 0 or value == math.inf:
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, digits)}f}" if 1e-3 <= abs(value) < 1e9 else f"{value:.2e}"
