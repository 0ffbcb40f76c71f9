#!/usr/bin/python3
"""Tells how likely pools of RAM disks on several hosts lose data, and how long they are out of use.

It calculates (closed form and Markov chain) and simulates (event by event, and by importance sampling for what is too
rare to wait for), so that each checks the other. docs/guide/pool-sizing.md explains the results. Examples:

  durability.py --hosts 2 --rebuild-rate 110M
  durability.py --hosts 96 --layout raid10 --repair 5m --crash-every 1y
  durability.py --hosts 10000 --members 8 --layout raid10 --years 10 --json
  durability.py --table
"""
import argparse
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path

sys.dont_write_bytecode = True
import chain  # noqa: E402
import simulation  # noqa: E402
from plan import LAYOUTS, PLACEMENTS, YEAR, Plan, format_duration, parse_duration, parse_size, short  # noqa: E402

# Host-years to simulate by default: a few seconds.
EFFORT = 20_000
# Failures to expect during one repair beyond which nothing is rare, so importance sampling has no use.
RARE = 0.1

# The plans of the guide's table.
TABLE = [
    dict(hosts=2), dict(hosts=3, copies=3), dict(hosts=4, layout="raid10"), dict(hosts=8, layout="raid10"),
    dict(hosts=8, layout="raid0"),
    dict(hosts=100), dict(hosts=96, layout="raid10"), dict(hosts=99, copies=3),
    dict(hosts=1000), dict(hosts=999, copies=3), dict(hosts=10_000), dict(hosts=9_999, copies=3),
]


def main():
    options = parse()
    if options.table:
        print(table())
    elif options.charts:
        import charts
        for path in charts.write(options.charts, options.seed):
            print(path)
    else:
        plan = Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})
        figures = everything(plan, options)
        print(json.dumps(figures, indent=2) if options.json else report(plan, figures))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Plan()

    def add(name, kind, text, metavar=None, **more):
        default = getattr(usual, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=kind, default=default, metavar=metavar, help=text, **more)

    add("hosts", int, "hosts in all, each with one member (2)", "N")
    add("layout", str, "raid1: each pool is one set of copies; raid10; raid0", choices=LAYOUTS)
    add("copies", int, "copies of each block (2)", "N")
    add("members", int, "members of each pool of raid10 and raid0 (all hosts)", "N")
    add("crash-every", parse_duration, "mean time until a host loses its memory (half a year)", "TIME")
    add("repair", parse_duration, "mean time until a host is there in its place and `pool replace` is run (1h)", "TIME")
    add("cut-every", parse_duration, "mean time until a host is cut off, and keeps its memory (1y)", "TIME")
    add("cut-repair", parse_duration, "mean time until `pool replace --re-add` lets it back in (1h)", "TIME")
    add("member-size", parse_size, "bytes to copy to a new member (32G)", "SIZE")
    add("rebuild-rate", parse_size, "bytes a second, as measured (200000K, the kernel's own limit)", "SIZE")
    add("changed", parse_size, "bytes to copy to a member that was cut off (1G)", "SIZE")
    add("domain-hosts", int, "hosts of a rack or power domain (40)", "N")
    add("domain-every", parse_duration, "mean time until all hosts of a domain lose their memory (10y)", "TIME")
    add("placement", str, "which domains copies are in: spread, random, together", choices=PLACEMENTS)
    add("site-every", parse_duration, "mean time until all hosts lose their memory (never)", "TIME")
    add("restore", parse_duration, "time to fill a pool from elsewhere after a loss (4h)", "TIME")
    parser.add_argument("--fixed", action="store_true", help="repairs take exactly these times, not exponential ones")
    parser.add_argument("--years", type=float, help="years to simulate (20,000 host-years)", metavar="N")
    parser.add_argument("--cycles", type=int, default=20_000, help="failures of one pool to sample (20000)",
                        metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="of all random numbers (1)", metavar="N")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--table", action="store_true", help="print the guide's table, with the usual values")
    parser.add_argument("--charts", type=Path, help="write the guide's charts", metavar="DIRECTORY")
    options = parser.parse_args()
    try:
        Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})
    except ValueError as error:
        parser.error(str(error))
    return options


def everything(plan, options):
    """Returns what is calculated, simulated and sampled, as JSON has it. Rates are per year, times in hours."""
    figures = {"plan": {name: None if value == float("inf") else value for name, value in asdict(plan).items()}}
    if plan.placement != "random":
        figures["calculated"] = chain.of_fleet(plan)._asdict()
    seen = simulation.watch(plan, options.seed, options.years or EFFORT / plan.hosts)
    figures["simulated"] = {
        name: value._asdict() if isinstance(value, tuple) else value for name, value in seen._asdict().items()}
    if is_rare(plan):
        hours = simulation.time_to_loss(plan, options.seed, options.cycles)
        if hours.value < float("inf"):
            figures["sampled"] = {"losses": {
                "value": YEAR / hours.value, "low": YEAR / hours.high, "high": YEAR / hours.low}}
    return figures


def is_rare(plan):
    """Whether importance sampling is of use: one pool, whose repairs end before anything else fails."""
    return plan.pool_count == 1 and 0 < (plan.repair + plan.rebuild) * sum(plan.failure_rates) < RARE


def report(plan, figures):
    """Returns the figures as text."""
    seen = figures["simulated"]
    lines = [
        f"{plan.hosts:,} hosts in pools of {plan.pool_size:,}: {plan.layout}, copies {plan.copies}, "
        f"pools {plan.pool_count:,}, domains {plan.domain_count:,}",
        f"a member is filled in {format_duration(plan.rebuild)}, once a host is there after "
        f"{format_duration(plan.repair)}", "", "losses of data a year"]
    if "calculated" in figures:
        losses = figures["calculated"]["losses"]
        lines.append(f"  calculated  {short(losses)}, so {chance(losses)} in a year")
    lines.append(f"  simulated   {interval(seen['losses'])}: {seen['loss_events']:,} in {short(seen['years'])} years")
    if "sampled" in figures:
        lines.append(f"  sampled     {interval(figures['sampled']['losses'])}")
    lines += ["", "share of time that a pool is out of use"]
    if "calculated" in figures:
        lines.append(f"  calculated  {short(figures['calculated']['unavailability'])}")
    lines.append(f"  simulated   {interval(seen['unavailability'])}")
    return "\n".join(lines)


def interval(estimate):
    return f"{short(estimate['value'])} ({short(estimate['low'])} to {short(estimate['high'])})"


def chance(losses):
    """Returns the mean number of losses as a chance, and as a number once one is to be expected."""
    if losses >= 1:
        return f"{short(losses)} times"
    share = chain.chance(losses)
    return f"{share * 100:.2g} %" if share >= 0.01 else f"1 in {short(1 / share)}" if share else "never"


def table():
    """Returns the Markdown table of docs/guide/pool-sizing.md."""
    rows = ["| hosts | as | usable | some data is lost in a year | "
            "a given pool loses data in a year | a pool is out of use |",
            "| ---: | --- | ---: | ---: | ---: | ---: |"]
    for entry in TABLE:
        plan = Plan(**entry)
        fleet = chain.of_fleet(plan)
        level = {"raid1": "level 1", "raid10": "level 10", "raid0": "level 0"}[plan.layout]
        pools = "1 pool" if plan.pool_count == 1 else f"{plan.pool_count:,} pools"
        copies = "1 copy" if plan.copies == 1 else f"{plan.copies} copies"
        rows.append(
            f"| {plan.hosts:,} | {pools}, {level}, {copies} | {plan.set_count:,} | "
            f"{chance(fleet.losses)} | {chance(fleet.pool_losses)} | "
            f"{out_of_use(fleet.unavailability)} |")
    return "\n".join(rows)


def out_of_use(share):
    hours = share * YEAR
    return f"{format_duration(hours)} a year" if hours > 1 / 3600 else "under a second a year"


if __name__ == "__main__":
    main()
