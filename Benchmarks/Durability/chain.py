"""Durability and availability by calculation: the closed form for two hosts, and a Markov chain for any set of copies.

The chain has the rules of simulation.py, with exponential times, for one set of hosts that hold the same blocks. It is
solved directly, so it reaches losses that are too rare for a simulation.
"""
import math
from collections import namedtuple

from plan import YEAR, rate

# A set of copies: members in sync, whether the last one of these is cut off, members that were cut off and have missed
# writes, members whose memory is gone, and those that wait to be filled ("fill") or updated ("update"), in their order.
State = namedtuple("State", "current unlinked stale down queue")
LOST = None

# Hours; `unavailability` is the share of time without the data.
SetFigures = namedtuple("SetFigures", "time_to_loss unavailability")


def pair_time_to_loss(crash, repair, rebuild):
    """Returns the mean hours until two hosts lose their data. Closed form; nothing fails but hosts, each alone.

    All three are rates for each hour. It solves the three states "both", "one is gone", "one is being filled" for the
    mean time to absorption. With an instant rebuild it is the textbook's (3 λ + μ) / (2 λ²).
    """
    both = 2 * crash
    return 1 / both + (both + repair) * (both + rebuild) / (2 * crash ** 2 * (both + repair + rebuild))


def pair_unavailability(cut, link):
    """Returns the share of time in which a pair cannot be reached, if links alone fail. Closed form.

    Rates for each hour. An update takes no time. The last member that was reachable keeps the newest data, so the pair
    waits for that one, not for either.
    """
    one_cut = 1 / ((link + cut / 2) / (2 * cut) + 1 + cut / link)
    return one_cut * cut / link


def of_set(plan):
    """Returns the figures of one set of copies, without the site's power and without domains that hold all copies."""
    start = State(plan.copies, 0, 0, 0, ())
    states, moves = explore(plan, start)
    first = moves[start]
    leaving = sum(first.values())
    if leaving == 0:
        return SetFigures(math.inf, 0.0)
    others = [state for state in states if state != start]
    lost, time, out = solve(others, moves)
    to_loss = sum(speed * (1 if state is LOST else lost[state]) for state, speed in first.items()) / leaving
    degraded, unreachable = (
        sum(speed * of.get(state, 0) for state, speed in first.items()) / leaving for of in (time, out))
    cycle = 1 / leaving + degraded
    # Renewal: each cycle begins with all members in sync, and ends there or with a loss, which is restored.
    time_to_loss = cycle / to_loss if to_loss else math.inf
    return SetFigures(time_to_loss, (unreachable + to_loss * plan.restore) / (cycle + to_loss * plan.restore))


def explore(plan, start):
    """Returns all states that can be reached, and the rates to the next ones of each."""
    found, moves = [start], {}
    for state in found:
        moves[state] = {}
        for following, speed in transitions(plan, state):
            if speed > 0:
                moves[state][following] = moves[state].get(following, 0) + speed
                if following is not LOST and following not in moves and following not in found:
                    found.append(following)
    return found, moves


def transitions(plan, state):
    """Yields the states that may follow and their rates. `plan` is in mean times."""
    current, unlinked, stale, down, queue = state
    crash = rate(plan.crash_every) + (rate(plan.domain_every) if plan.placement == "spread" else 0)
    cut, link = rate(plan.cut_every), 1 / plan.cut_repair
    yield state._replace(current=current - 1, down=down + 1) if current > 1 else LOST, current * crash
    if current > 1:
        yield state._replace(current=current - 1, stale=stale + 1), current * cut
    elif current == 1:
        yield state._replace(current=0, unlinked=1), cut
    if unlinked:
        yield LOST, crash
        yield state._replace(current=1, unlinked=0), link
    yield state._replace(stale=stale - 1, down=down + 1), stale * crash
    yield state._replace(stale=stale - 1, queue=(*queue, "update")), stale * link
    yield state._replace(down=down - 1, queue=(*queue, "fill")), down / plan.repair
    for place in range(len(queue)):
        yield state._replace(down=down + 1, queue=queue[:place] + queue[place + 1:]), crash
    if queue and current:
        hours = plan.rebuild if queue[0] == "fill" else plan.catch_up
        yield state._replace(current=current + 1, queue=queue[1:]), 1 / hours


def solve(states, moves):
    """Returns for each degraded state: the chance of a loss before all is well, and the hours, and those unavailable.

    Elimination subtracts nothing but what flows among the states, so small chances keep their digits.
    """
    place = {state: index for index, state in enumerate(states)}
    rows = []
    for state in states:
        leaving = sum(moves[state].values())
        row = [0.0] * len(states)
        for following, speed in moves[state].items():
            if following in place:
                row[place[following]] -= speed / leaving
        row[place[state]] += 1
        out = 0 if state.current else 1
        rows.append(row + [moves[state].get(LOST, 0) / leaving, 1 / leaving, out / leaving])
    eliminate(rows)
    return [{state: rows[index][len(states) + column] for state, index in place.items()} for column in range(3)]


def eliminate(rows):
    """Gauss and Jordan in place, without pivots: the diagonal dominates."""
    for index, row in enumerate(rows):
        pivot = row[index]
        row[:] = [value / pivot for value in row]
        for other in rows:
            factor = other[index]
            if other is not row and factor:
                other[:] = [value - factor * own for value, own in zip(other, row)]


# What a fleet can expect. `losses` is how often a year some data is lost, `pool_losses` how often a year a given pool
# loses data, `unavailability` the share of time that a given pool cannot be used.
FleetFigures = namedtuple("FleetFigures", "losses pool_losses unavailability")


def of_fleet(plan):
    """Returns the figures of all hosts of a plan. Sets fail independently but for domains and the site.

    It leaves out that the sets of one large pool wait for each other to be filled; simulation.py does not. Random
    placement has no figures here.
    """
    if plan.placement == "random":
        raise ValueError("random placement can only be simulated")
    one = of_set(plan)
    alone = YEAR / one.time_to_loss
    # Domains that hold all copies of a set take it with them; a pool has sets in so many of them.
    domain = YEAR * rate(plan.domain_every) if plan.placement == "together" else 0
    domains_per_pool = math.ceil(plan.pool_size * plan.domain_count / plan.hosts)
    site = YEAR * rate(plan.site_every)
    common = domains_per_pool * domain + site
    return FleetFigures(
        plan.set_count * alone + plan.domain_count * domain + site,
        plan.sets_per_pool * alone + common,
        min(1.0, plan.sets_per_pool * one.unavailability + common * plan.restore / YEAR))


def chance(losses):
    """Returns the chance of at least one loss in a year, from the mean number of them."""
    return -math.expm1(-losses)
