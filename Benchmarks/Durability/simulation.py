"""Durability and availability by simulation, event by event, with what the chain of chain.py leaves out.

That is: all hosts of a rack lose their memory in one instant, members of one pool are filled one after the other, as
`pool replace` does, and times may be fixed.
"""
import heapq
import itertools
import math
import random
from collections import deque, namedtuple

from plan import YEAR

# States of a member. Only the first two have the newest data. `STALE` was cut off and has missed writes, `DOWN` has
# lost its memory, `FILL` and `UPDATE` are back and are copied to, or wait for it.
CURRENT, UNLINKED, STALE, DOWN, FILL, UPDATE = range(6)

# The 97.5th percentile of Student's t with BATCHES - 1 degrees of freedom, and of the normal distribution.
BATCHES, STUDENT, NORMAL = 20, 2.093, 1.960

# An estimate with the limits of its 95 % confidence interval.
Estimate = namedtuple("Estimate", "value low high")


class Fleet:
    """The hosts of a plan, from one event to the next.

    Failures come at a constant rate, `boost` times too often. `log_weight` is the logarithm of how much more likely the
    history is without the boost.
    """

    def __init__(self, plan, generator, boost=1.0):
        self.plan, self.generator, self.boost = plan, generator, boost
        self.now = self.log_weight = 0.0
        # Instants with a loss, pools lost, and hours of pools out of use.
        self.loss_events = self.lost_pools = 0
        self.unavailable_hours = 0.0
        self.unavailable_pools = 0
        copies, sets = plan.copies, plan.set_count
        self.place()
        self.state = [CURRENT] * plan.hosts
        # Timers of an earlier version of a member are void.
        self.version = [0] * plan.hosts
        self.timers = []
        self.reachable, self.complete = [copies] * sets, [copies] * sets
        self.unreachable_sets = [0] * plan.pool_count
        self.lost = [False] * plan.pool_count
        self.waiting = [deque() for _ in range(plan.pool_count)]
        self.filled = [None] * plan.pool_count
        self.degraded = 0
        self.failure_rate = sum(plan.failure_rates)
        self.failure_limits = list(itertools.accumulate(plan.failure_rates))

    def place(self):
        """Decides which hosts hold the same blocks, and which ones are in the same domain."""
        plan = self.plan
        copies, sets = plan.copies, plan.set_count
        if plan.placement == "spread":
            # Copies are as far from each other as can be; hosts of a domain are neighbours.
            self.members_of = [[copy * sets + index for copy in range(copies)] for index in range(sets)]
        else:
            order = list(range(plan.hosts))
            if plan.placement == "random":
                self.generator.shuffle(order)
            self.members_of = [order[index * copies:(index + 1) * copies] for index in range(sets)]
        self.set_of = [0] * plan.hosts
        for index, members in enumerate(self.members_of):
            for member in members:
                self.set_of[member] = index
        self.hosts_of_domain = [[] for _ in range(plan.domain_count)]
        for host in range(plan.hosts):
            self.hosts_of_domain[host * plan.domain_count // plan.hosts].append(host)

    def pool_of(self, member):
        return self.set_of[member] // self.plan.sets_per_pool

    # MARK: - Time

    def step(self, horizon=math.inf):
        """Goes on to the next event, and no further than `horizon`. Returns false at the horizon."""
        speed = self.failure_rate * self.boost
        failure = self.now + self.generator.expovariate(speed) if speed else math.inf
        timer = self.timers[0][0] if self.timers else math.inf
        time = min(failure, timer, horizon)
        self.unavailable_hours += self.unavailable_pools * (time - self.now)
        self.log_weight += (speed - self.failure_rate) * (time - self.now)
        self.now = time
        if time == horizon:
            return False
        if time == timer:
            _, _, action, subject, version = heapq.heappop(self.timers)
            if version is None or version == self.version[subject]:
                action(subject)
        else:
            self.log_weight -= math.log(speed / self.failure_rate)
            self.fail()
        return True

    def schedule(self, hours, action, subject, version):
        if not self.plan.fixed and version is not None:
            hours = self.generator.expovariate(1 / hours)
        # The second number orders equal times.
        heapq.heappush(self.timers, (self.now + hours, self.generator.random(), action, subject, version))

    def fail(self):
        kind = self.generator.random() * self.failure_rate
        crash, cut, domain, _ = self.failure_limits
        if kind < crash:
            self.lose_memory([self.generator.randrange(self.plan.hosts)])
        elif kind < cut:
            self.cut(self.generator.randrange(self.plan.hosts))
        elif kind < domain:
            self.lose_memory(self.generator.choice(self.hosts_of_domain))
        else:
            self.lose_memory(range(self.plan.hosts))

    # MARK: - Members

    def become(self, member, state):
        """Changes the state of a member, and counts."""
        index, pool, old = self.set_of[member], self.pool_of(member), self.state[member]
        self.version[member] += 1
        self.state[member] = state
        self.degraded += (state != CURRENT) - (old != CURRENT)
        self.complete[index] += (state <= UNLINKED) - (old <= UNLINKED)
        if CURRENT in (state, old) and state != old:
            before = self.reachable[index]
            self.reachable[index] += 1 if state == CURRENT else -1
            if before == 0 or self.reachable[index] == 0:
                self.count_unreachable(pool, 1 if before else -1)
                filled = self.filled[pool]
                if before and filled is not None and self.set_of[filled] == index:
                    # The source of the copy is gone: it begins anew when that is back.
                    self.version[filled] += 1
                    self.filled[pool] = None
        self.fill_next(pool)

    def count_unreachable(self, pool, change):
        """Counts the sets of a pool that cannot be reached; the pool is out of use with one of them."""
        was = self.unreachable_sets[pool] > 0
        self.unreachable_sets[pool] += change
        if not self.lost[pool]:
            self.unavailable_pools += (self.unreachable_sets[pool] > 0) - was

    def lose_memory(self, hosts):
        """Hosts lose their memory at once. Those that have lost it already, or are in a lost pool, do not matter."""
        hit = [host for host in hosts if self.state[host] != DOWN and not self.lost[self.pool_of(host)]]
        for host in hit:
            self.leave_queue(host)
            self.become(host, DOWN)
            self.schedule(self.plan.repair, self.repaired, host, self.version[host])
        gone = {self.pool_of(host) for host in hit if self.complete[self.set_of[host]] == 0}
        for pool in gone:
            self.lose(pool)
        self.loss_events += bool(gone)
        self.lost_pools += len(gone)

    def cut(self, host):
        """Cuts a host off. Others go on without it, unless it was the last one with the newest data."""
        if self.state[host] != CURRENT or self.lost[self.pool_of(host)]:
            return
        self.become(host, STALE if self.reachable[self.set_of[host]] > 1 else UNLINKED)
        self.schedule(self.plan.cut_repair, self.linked, host, self.version[host])

    def linked(self, host):
        if self.state[host] == UNLINKED:
            self.become(host, CURRENT)
        else:
            self.enqueue(host, UPDATE)

    def repaired(self, host):
        self.enqueue(host, FILL)

    # MARK: - Copying

    def enqueue(self, member, state):
        self.waiting[self.pool_of(member)].append(member)
        self.become(member, state)

    def leave_queue(self, member):
        pool = self.pool_of(member)
        if self.state[member] in (FILL, UPDATE):
            self.waiting[pool].remove(member)
        if self.filled[pool] == member:
            self.filled[pool] = None

    def fill_next(self, pool):
        """Begins to copy to the first member that waits and has a source, if nothing is copied in its pool."""
        if self.filled[pool] is not None or self.lost[pool]:
            return
        for member in self.waiting[pool]:
            if self.reachable[self.set_of[member]]:
                self.filled[pool] = member
                hours = self.plan.rebuild if self.state[member] == FILL else self.plan.catch_up
                self.schedule(hours, self.copied, member, self.version[member])
                return

    def copied(self, member):
        self.leave_queue(member)
        self.become(member, CURRENT)

    # MARK: - Losses

    def lose(self, pool):
        """A pool has lost data: all of it is restored from elsewhere."""
        if not self.unreachable_sets[pool]:
            self.unavailable_pools += 1
        self.lost[pool] = True
        self.schedule(self.plan.restore, self.restored, pool, None)

    def restored(self, pool):
        """A pool is there again, with all of its members."""
        self.waiting[pool].clear()
        self.filled[pool] = None
        size = self.plan.sets_per_pool
        for members in self.members_of[pool * size:(pool + 1) * size]:
            for member in members:
                self.become(member, CURRENT)
        self.lost[pool] = False
        self.unavailable_pools -= 1


# What was seen in a number of years, for the whole fleet: instants at which data was lost and pools that lost some;
# such instants a year, and the share of time that a given pool could not be used.
Seen = namedtuple("Seen", "years loss_events lost_pools losses unavailability")


def watch(plan, seed, years):
    """Simulates the fleet for a number of years. Batches of them give the interval of the unavailability."""
    fleet = Fleet(plan, random.Random(seed))
    shares, length = [], years * YEAR / BATCHES
    for batch in range(BATCHES):
        before = fleet.unavailable_hours
        while fleet.step((batch + 1) * length):
            pass
        shares.append((fleet.unavailable_hours - before) / length / plan.pool_count)
    return Seen(years, fleet.loss_events, fleet.lost_pools, poisson(fleet.loss_events, years), mean(shares))


def mean(batches):
    """Returns the mean of batches with Student's interval."""
    middle = sum(batches) / len(batches)
    deviation = math.sqrt(sum((value - middle) ** 2 for value in batches) / (len(batches) - 1))
    half = STUDENT * deviation / math.sqrt(len(batches))
    return Estimate(middle, max(0.0, middle - half), middle + half)


def poisson(count, years):
    """Returns the yearly rate of events that were counted. The interval is Wilson's and Hilferty's approximation of
    the chi-squared distribution: good to 2 % from ten events on, and too wide with fewer."""
    def limit(degrees, sign):
        part = 2 / (9 * degrees)
        return degrees / 2 * (1 - part + sign * NORMAL * math.sqrt(part)) ** 3

    low = limit(2 * count, -1) if count else 0.0
    return Estimate(count / years, low / years, limit(2 * count + 2, 1) / years)


def time_to_loss(plan, seed, cycles):
    """Returns the mean hours until one pool loses data, by importance sampling; for losses too rare to wait for.

    A cycle begins with the first failure of a member of a pool that is whole and ends when it is whole again, or with
    a loss. Within it, failures come so often that many cycles end with a loss, and each counts with its weight.
    """
    if plan.pool_count != 1:
        raise ValueError("importance sampling is for one pool")
    generator = random.Random(seed)
    window = max(plan.repair + plan.rebuild, plan.cut_repair + plan.catch_up)
    losses, hours = [], []
    for _ in range(cycles):
        fleet = Fleet(plan, generator, boost=max(1.0, 0.5 / (window * sum(plan.failure_rates))))
        fleet.step()
        # The mean time to the first failure is known; only what comes after it is sampled.
        begin, fleet.log_weight = fleet.now, 0.0
        while fleet.degraded and not fleet.lost_pools:
            fleet.step()
        weight = math.exp(fleet.log_weight)
        losses.append(weight if fleet.lost_pools else 0.0)
        hours.append(1 / fleet.failure_rate + weight * (fleet.now - begin))
    return ratio(hours, losses)


def ratio(above, below):
    """Returns the ratio of the means of pairs, with the normal interval of the ratio estimator."""
    count = len(above)
    numerator, denominator = sum(above) / count, sum(below) / count
    if not denominator:
        return Estimate(math.inf, 0.0, math.inf)
    speed = denominator / numerator
    squares = sum((low - speed * high) ** 2 for high, low in zip(above, below)) / (count - 1)
    half = NORMAL * math.sqrt(squares / count) / numerator
    return Estimate(1 / speed, 1 / (speed + half), 1 / (speed - half) if speed > half else math.inf)
