"""Draws the charts of docs/guide/pool-sizing.md as SVG: logarithmic axes, lines for what is calculated, dots with their
95 % intervals for what is simulated."""
import math
from dataclasses import dataclass, field, replace
from html import escape

import chain
import simulation
from plan import YEAR, Plan, rate

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 74, 24, 34, 48
COLORS = ("#d1495b", "#00798c", "#edae49", "#8d6a9f")
SIZES = (2, 3, 4, 6, 10, 18, 30, 60, 100, 180, 300, 600, 1000, 1920, 3000, 6000, 9999, 10_000)
# Host-years that a dot of a chart simulates.
EFFORT = 40_000


@dataclass
class Series:
    """A line and dots. `points` are (x, y); `dots` are (x, Estimate)."""

    name: str
    color: str
    points: list
    dots: list = field(default_factory=list)
    dashed: bool = False


@dataclass
class Axis:
    """A logarithmic axis from `low` to `high`, on a stretch of pixels."""

    title: str
    low: float
    high: float
    start: float
    end: float

    def at(self, value):
        share = (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self):
        lowest, highest = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10.0 ** power for power in range(lowest, highest + 1)]


def tick(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:g}" if value >= 1e-3 else f"1e{math.log10(value):.0f}"


def chart(title, horizontal, vertical, series, corner):
    """Returns the text of an SVG file. Each axis is (title, low, high); `corner` is where the legend begins, in pixels
    from the left and the top."""
    across = Axis(*horizontal, LEFT, WIDTH - RIGHT)
    up = Axis(*vertical, HEIGHT - BOTTOM, TOP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
             f'height="{HEIGHT}" font-family="sans-serif" font-size="11" role="img">',
             f"<title>{escape(title)}</title>", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
             text(WIDTH / 2, 18, title, "middle", size=13)]
    parts += grid(across, up)
    # Lines below the lowest value of the chart leave it, and must not be seen outside.
    parts.append(f'<clipPath id="inside"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
                 f'height="{HEIGHT - TOP - BOTTOM}"/></clipPath><g clip-path="url(#inside)">')
    for one in series:
        parts += drawing(one, across, up)
    parts.append("</g>")
    for index, one in enumerate(series):
        parts += legend(one, corner[0], corner[1] + 16 * index)
    return "\n".join(parts + ["</svg>", ""])


def grid(across, up):
    parts = []
    for value in across.ticks:
        x = across.at(value)
        parts.append(f'<path d="M{x} {up.start}V{up.end}" stroke="#ddd"/>')
        parts.append(text(x, up.start + 16, tick(value), "middle"))
    for value in up.ticks:
        y = up.at(value)
        parts.append(f'<path d="M{across.start} {y}H{across.end}" stroke="#ddd"/>')
        parts.append(text(across.start - 6, y + 4, tick(value), "end"))
    middle = (up.start + up.end) / 2
    return parts + [text((across.start + across.end) / 2, HEIGHT - 10, across.title, "middle"),
                    f'<text x="14" y="{middle}" text-anchor="middle" '
                    f'transform="rotate(-90 14 {middle})">{escape(up.title)}</text>']


def drawing(one, across, up):
    places = [(across.at(x), up.at(y)) for x, y in one.points if y > 0]
    parts = []
    if places:
        line = "L".join(f"{x} {y}" for x, y in places)
        dash = ' stroke-dasharray="5 4"' if one.dashed else ""
        parts.append(f'<path d="M{line}" fill="none" stroke="{one.color}" stroke-width="2"{dash}/>')
    for x, estimate in one.dots:
        at = across.at(x)
        middle, low, high = (up.at(max(value, up.low)) for value in estimate)
        parts.append(f'<path d="M{at} {low}V{high}" stroke="#333"/>')
        parts.append(f'<circle cx="{at}" cy="{middle}" r="3.5" fill="{one.color}" stroke="#333"/>')
    return parts


def legend(one, x, y):
    dash = ' stroke-dasharray="5 4"' if one.dashed else ""
    sample = f'<path d="M{x} {y - 4}h22" stroke="{one.color}" stroke-width="2"{dash}/>' if one.points else ""
    dot = f'<circle cx="{x + 11}" cy="{y - 4}" r="3.5" fill="{one.color}" stroke="#333"/>' if one.dots else ""
    return [sample + dot, text(x + 30, y, one.name, "start")]


def text(x, y, content, anchor, size=11):
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}">{escape(content)}</text>'


# MARK: - What the guide shows


def chances(estimate):
    """Returns yearly rates as chances of at least one loss in a year."""
    return simulation.Estimate(*(chain.chance(value) for value in estimate))


def watched(plan, seed):
    return chances(simulation.watch(plan, seed, EFFORT / plan.hosts).losses)


def by_size(base, seed):
    """The chance that a fleet loses any data, by the number of hosts."""
    def of(name, color, dots, **changes):
        plans = [replace(base, hosts=hosts, **changes) for hosts in SIZES if fits(hosts, **changes)]
        points = [(plan.hosts, chain.chance(chain.of_fleet(plan).losses)) for plan in plans]
        marks = [(plan.hosts, watched(plan, seed)) for plan in plans if plan.hosts in dots]
        return Series(name, color, points, marks)

    triples = of("3 copies", COLORS[1], (), layout="raid1", copies=3)
    # Too rare to wait for: importance sampling.
    hours = simulation.time_to_loss(replace(base, hosts=3, copies=3), seed, 20_000)
    triples.dots.append((3, chances(simulation.Estimate(
        YEAR / hours.value, YEAR / hours.high, YEAR / hours.low))))
    every = 10 * YEAR
    return chart(
        "Chance that some data is lost in a year", ("hosts", 2, 10_000), ("chance", 1e-7, 1), [
            of("1 copy (level 0)", COLORS[0], (2, 10, 100), layout="raid0"),
            of("2 copies (level 1 or 10)", COLORS[2], (10, 100, 1000, 10_000), layout="raid1", copies=2),
            triples,
            Series("power of the site fails once in 10 years", "#777",
                   [(2, chain.chance(YEAR * rate(every))), (10_000, chain.chance(YEAR * rate(every)))], dashed=True),
        ], (300, 284))


def fits(hosts, layout, copies=1):
    return hosts % copies == 0 and hosts >= copies and (layout != "raid0" or hosts <= 1920)


def by_rebuild_rate(base):
    """What the rebuild rate does for two hosts."""
    def of(name, color, size, repair, dashed=False):
        points = []
        for step in range(41):
            megabytes = 10 ** (step / 10)
            plan = replace(base, hosts=2, member_size=size, repair=repair, rebuild_rate=megabytes * 1e6)
            points.append((megabytes, chain.chance(chain.of_fleet(plan).losses)))
        return Series(name, color, points, dashed=dashed)

    return chart(
        "Two hosts: chance of a loss in a year, by rebuild rate", ("rebuild rate in MB/s", 1, 10_000),
        ("chance", 1e-4, 1), [
            of("512 GiB, replaced after an hour", COLORS[0], 512 << 30, 1.0),
            of("32 GiB, replaced after an hour", COLORS[1], 32 << 30, 1.0),
            of("32 GiB, replaced after a day", COLORS[1], 32 << 30, 24.0, dashed=True),
            of("2 GiB, replaced after an hour", COLORS[2], 2 << 30, 1.0),
        ], (390, 60))


def by_placement(base, seed):
    """What racks do that fail as one."""
    sizes = [2, 4, 10, 20, 40, 80, 160, 320, 640, 1280, 1920]

    def of(name, color, placement, dots):
        plans = [replace(base, hosts=hosts, placement=placement) for hosts in sizes]
        points = [] if placement == "random" else [
            (plan.hosts, chain.chance(chain.of_fleet(plan).losses)) for plan in plans]
        return Series(name, color, points, [(plan.hosts, watched(plan, seed)) for plan in plans if plan.hosts in dots])

    return chart(
        "2 copies in racks of 40: chance that some data is lost in a year", ("hosts", 2, 1920),
        ("chance", 1e-3, 1), [
            of("copies in one rack", COLORS[0], "together", (10, 40, 160)),
            of("copies anywhere", COLORS[3], "random", (10, 40, 80, 160, 320, 640)),
            of("copies in different racks", COLORS[2], "spread", (10, 40, 160, 640)),
        ], (400, 280))


def write(directory, seed):
    """Writes the charts of the guide, and returns their paths."""
    base = Plan()
    files = {"pool-loss-by-size.svg": by_size(base, seed),
             "pool-loss-by-rebuild-rate.svg": by_rebuild_rate(base),
             "pool-loss-by-placement.svg": by_placement(base, seed)}
    for name, content in files.items():
        (directory / name).write_text(content)
    return [directory / name for name in files]
