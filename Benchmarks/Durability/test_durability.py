"""Tests of the durability calculations and simulations, against each other. scripts/check runs them."""
import contextlib
import io
import json
import math
import random
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

import chain
import charts
import durability
import simulation
from plan import YEAR, Plan, format_duration, parse_duration, parse_size

GUIDE = Path(__file__).resolve().parents[2] / "docs/guide/pool-sizing.md"
# Failures of hosts alone, so often that a simulation sees many losses. Filled in 2 hours.
OFTEN = Plan(crash_every=100, repair=10, member_size=7200e6, rebuild_rate=1e6, cut_every=math.inf,
             domain_every=math.inf, restore=10)


class Case(unittest.TestCase):
    def within(self, value, estimate):
        """Expects a calculated value in the interval of an estimate, which has to be narrow."""
        self.assertLessEqual(estimate.low, value)
        self.assertLessEqual(value, estimate.high)
        self.assertLess(estimate.high - estimate.low, 0.5 * estimate.value, "the interval proves little")


class ClosedFormTests(Case):
    def test_the_chain_gives_the_closed_form_for_two_hosts(self):
        for crash, repair, size in [(100, 10, 7200e6), (4383, 1, 3.4e10), (1e6, 0.01, 1e6), (50, 100, 1e12)]:
            plan = replace(OFTEN, crash_every=crash, repair=repair, member_size=size)
            self.assertAlmostEqual(
                chain.of_set(plan).time_to_loss / chain.pair_time_to_loss(1 / crash, 1 / repair, 1 / plan.rebuild), 1,
                places=9)

    def test_with_an_instant_rebuild_the_closed_form_is_that_of_textbooks(self):
        crash, repair = 1 / 1000, 1 / 5
        self.assertAlmostEqual(
            chain.pair_time_to_loss(crash, repair, 1e12), (3 * crash + repair) / (2 * crash ** 2), places=3)

    def test_the_simulation_of_two_hosts_agrees_with_the_closed_form(self):
        hours = chain.pair_time_to_loss(1 / 100, 1 / 10, 1 / OFTEN.rebuild)
        seen = simulation.watch(OFTEN, 1, 60)
        # The pool is restored before it can be lost again.
        self.within(YEAR / (hours + OFTEN.restore), seen.losses)
        self.within(OFTEN.restore / (hours + OFTEN.restore), seen.unavailability)

    def test_links_that_fail_lose_nothing_and_the_availability_is_that_of_the_closed_form(self):
        plan = replace(OFTEN, crash_every=math.inf, cut_every=100, cut_repair=20, changed=1)
        expected = chain.pair_unavailability(1 / 100, 1 / 20)
        self.assertAlmostEqual(chain.of_set(plan).unavailability, expected, places=9)
        self.assertEqual(chain.of_set(plan).time_to_loss, math.inf)
        seen = simulation.watch(plan, 1, 60)
        self.within(expected, seen.unavailability)
        self.assertEqual(seen.loss_events, 0)

    def test_fixed_times_agree_with_their_own_closed_form(self):
        plan = replace(OFTEN, fixed=True, rebuild_rate=1e15)
        loss = -math.expm1(-plan.repair / 100)
        hours = (100 / 2 + 100 * loss) / loss
        self.within(YEAR / (hours + plan.restore), simulation.watch(plan, 1, 60).losses)

    def test_without_copies_each_lost_memory_is_a_loss(self):
        plan = replace(OFTEN, hosts=5, layout="raid0")
        self.assertAlmostEqual(chain.of_fleet(plan).losses, 5 * YEAR / 100, places=6)
        # It is restored after each, 10 hours in 30.
        self.within(YEAR / 30, simulation.watch(plan, 1, 5).losses)


class ChainTests(Case):
    def test_the_simulation_agrees_with_the_chain_when_everything_fails(self):
        for plan in (replace(OFTEN, cut_every=200, cut_repair=5, changed=3600e6, domain_every=2000),
                     replace(OFTEN, hosts=3, copies=3, repair=20, cut_every=50, cut_repair=10,
                             changed=3600e6)):
            one, seen = chain.of_set(plan), simulation.watch(plan, 2, 60)
            self.within(YEAR / (one.time_to_loss + plan.restore), seen.losses)
            self.within(one.unavailability, seen.unavailability)

    def test_importance_sampling_agrees_with_plain_simulation_where_both_reach(self):
        plan = replace(OFTEN, crash_every=1000)
        sampled = simulation.time_to_loss(plan, 1, 4000)
        self.within(chain.of_set(plan).time_to_loss, sampled)
        self.within(YEAR / chain.of_set(plan).time_to_loss, simulation.watch(plan, 1, 1500).losses)

    def test_importance_sampling_agrees_with_the_chain_where_nothing_is_ever_seen(self):
        for copies in (2, 3):
            plan = Plan(hosts=copies, copies=copies)
            self.within(chain.of_set(plan).time_to_loss, simulation.time_to_loss(plan, 1, 12_000))

    def test_a_member_that_waits_leaves_its_own_place_when_it_fails(self):
        state = chain.State(1, 0, 0, 0, ("fill", "update"))
        following = [one for one, speed in chain.transitions(OFTEN, state) if one and one.down == 1 and speed]
        self.assertEqual([one.queue for one in following], [("update",), ("fill",)])

    def test_a_boost_that_is_not_needed_changes_nothing(self):
        fleet = simulation.Fleet(OFTEN, random.Random(1))
        while fleet.now < 1000:
            fleet.step()
        self.assertEqual(fleet.log_weight, 0)

    def test_small_chances_keep_their_digits(self):
        plan = replace(OFTEN, hosts=4, copies=4, crash_every=1e6, repair=1e-3, rebuild_rate=1e15)
        # Each of the four may be first, then three, two and one: λ⁴ · 4! / μ³, and repairs go on side by side.
        expected = 1e6 ** 4 / (1e-3 ** 3 * 4)
        self.assertAlmostEqual(chain.of_set(plan).time_to_loss / expected, 1, places=3)


class FleetTests(Case):
    def test_losses_of_pools_add_up(self):
        plan = replace(OFTEN, hosts=400, crash_every=2000, domain_every=50_000)
        self.within(chain.of_fleet(plan).losses, simulation.watch(plan, 1, 6).losses)

    def test_a_pool_of_several_sets_is_lost_with_one_of_them(self):
        plan = replace(OFTEN, hosts=40, layout="raid10", members=8, crash_every=1000, member_size=1)
        seen, fleet = simulation.watch(plan, 1, 30), chain.of_fleet(plan)
        self.within(fleet.losses, seen.losses)
        self.within(fleet.unavailability, seen.unavailability)
        self.assertAlmostEqual(fleet.losses, 5 * fleet.pool_losses, places=9)

    def test_members_of_one_pool_are_filled_one_after_the_other(self):
        # 40 hosts, each of which is filled for two hours every 40 hours in the mean: they wait for each other.
        plan = replace(OFTEN, hosts=40, crash_every=160, repair=0.01, restore=0.01)
        apart = simulation.watch(plan, 1, 5).losses
        together = simulation.watch(replace(plan, layout="raid10", members=40), 1, 5).losses
        self.assertGreater(together.low, 1.2 * apart.high)

    def test_a_domain_takes_the_copies_in_it(self):
        plan = replace(OFTEN, hosts=40, crash_every=math.inf, domain_hosts=10, domain_every=1000, restore=1)
        together = replace(plan, placement="together")
        self.within(chain.of_fleet(together).losses, simulation.watch(together, 1, 10).losses)
        # Of copies in different domains one is left, but for a second domain in the same ten hours.
        self.assertLess(simulation.watch(plan, 1, 10).losses.high, 0.1 * chain.of_fleet(together).losses)

    def test_the_site_takes_everything_at_once(self):
        plan = replace(OFTEN, hosts=40, copies=4, crash_every=math.inf, site_every=100, restore=1)
        seen = simulation.watch(plan, 1, 10)
        self.within(YEAR / 100, seen.losses)
        self.assertGreater(seen.lost_pools, 9 * seen.loss_events)

    def test_copies_are_spread_over_domains_for_every_size(self):
        for hosts in (2, 4, 6, 78, 80, 82, 1000):
            fleet = simulation.Fleet(Plan(hosts=hosts), random.Random(1))
            domains = {host: index for index, hosts in enumerate(fleet.hosts_of_domain) for host in hosts}
            for members in fleet.members_of:
                self.assertEqual(len({domains[member] for member in members}), 2, f"{hosts} hosts")
            self.assertLessEqual(max(map(len, fleet.hosts_of_domain)), 40)


class StepTests(unittest.TestCase):
    """One event after the other, by hand."""

    def fleet(self, **changes):
        plan = replace(OFTEN, fixed=True, cut_repair=5, changed=3600e6, crash_every=math.inf, **changes)
        return simulation.Fleet(plan, random.Random(1))

    def run_until(self, fleet, hours):
        while fleet.step(hours):
            pass

    def test_a_host_that_lost_its_memory_is_filled_once_it_is_back(self):
        fleet = self.fleet()
        fleet.lose_memory([0])
        for hours, state in [(9, simulation.DOWN), (11, simulation.FILL), (13, simulation.CURRENT)]:
            self.run_until(fleet, hours)
            self.assertEqual(fleet.state[0], state, f"after {hours} hours")
        self.assertEqual((fleet.loss_events, fleet.unavailable_hours), (0, 0))

    def test_a_host_that_was_cut_off_is_updated_only(self):
        fleet = self.fleet()
        fleet.cut(0)
        for hours, state in [(4, simulation.STALE), (5.5, simulation.UPDATE), (6.5, simulation.CURRENT)]:
            self.run_until(fleet, hours)
            self.assertEqual(fleet.state[0], state, f"after {hours} hours")

    def test_old_data_does_not_save_a_pool(self):
        fleet = self.fleet()
        fleet.cut(0)
        fleet.lose_memory([1])
        self.assertEqual((fleet.loss_events, fleet.lost_pools), (1, 1))

    def test_the_last_member_that_is_cut_off_stops_the_pool_and_loses_nothing(self):
        fleet = self.fleet()
        fleet.cut(0)
        self.run_until(fleet, 2)
        fleet.cut(1)
        # The first one is back after 5 hours, but has missed writes; the second one after 7.
        self.run_until(fleet, 20)
        self.assertEqual(fleet.loss_events, 0)
        self.assertEqual(fleet.unavailable_hours, 5)
        self.assertEqual(fleet.state, [simulation.CURRENT] * 2)

    def test_a_copy_begins_anew_when_its_source_was_away(self):
        fleet = self.fleet()
        fleet.lose_memory([0])
        self.run_until(fleet, 11)
        fleet.cut(1)
        for hours, state in [(17.9, simulation.FILL), (18.1, simulation.CURRENT)]:
            self.run_until(fleet, hours)
            self.assertEqual(fleet.state[0], state, f"after {hours} hours")

    def test_a_lost_pool_is_out_of_use_until_it_is_restored(self):
        fleet = self.fleet()
        fleet.lose_memory([0, 1])
        self.run_until(fleet, 30)
        self.assertEqual((fleet.loss_events, fleet.unavailable_hours), (1, 10))
        self.assertEqual(fleet.state, [simulation.CURRENT] * 2)
        self.assertEqual(fleet.degraded, 0)


class StatisticsTests(unittest.TestCase):
    def test_intervals_of_counts_are_those_of_tables(self):
        # Exact limits of the Poisson distribution.
        for count, low, high in [(10, 4.795, 18.390), (100, 81.364, 121.627)]:
            estimate = simulation.poisson(count, 1)
            self.assertAlmostEqual(estimate.high / high, 1, delta=0.02)
            self.assertAlmostEqual(estimate.low / low, 1, delta=0.02)
        self.assertEqual(simulation.poisson(0, 1).low, 0)


class CommandTests(unittest.TestCase):
    def run_command(self, *arguments):
        output = io.StringIO()
        with mock.patch("sys.argv", ["durability.py", *arguments]), contextlib.redirect_stdout(output):
            durability.main()
        return output.getvalue()

    def test_the_same_seed_gives_the_same_figures(self):
        arguments = ("--hosts", "20", "--years", "5", "--json", "--crash-every", "10d", "--seed")
        first = json.loads(self.run_command(*arguments, "3"))
        self.assertEqual(first, json.loads(self.run_command(*arguments, "3")))
        self.assertNotEqual(first["simulated"], json.loads(self.run_command(*arguments, "4"))["simulated"])
        self.assertEqual(first["plan"]["crash_every"], 240)

    def test_a_plan_that_cannot_be_is_refused(self):
        for arguments in (["--hosts", "3"], ["--layout", "raid10", "--hosts", "2000"], ["--repair", "soon"],
                          ["--layout", "raid10", "--copies", "3", "--hosts", "6"], ["--copies", "1"]):
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                self.run_command(*arguments)

    def test_durations_and_sizes_are_read_and_written(self):
        self.assertEqual(parse_duration("90m"), 1.5)
        self.assertEqual(parse_duration("never"), math.inf)
        self.assertEqual(parse_size("1.5G"), 1.5 * (1 << 30))
        self.assertEqual(format_duration(1.5), "1.50 hours")
        self.assertEqual(format_duration(1e-3), "3.60 seconds")

    def test_the_members_of_a_pool_of_level_10_are_all_hosts(self):
        self.assertIn("pools of 6", self.run_command("--layout", "raid10", "--hosts", "6", "--years", "1"))

    def test_the_table_of_the_guide_is_what_is_calculated(self):
        self.assertIn(durability.table(), GUIDE.read_text())

    def test_charts_are_well_formed(self):
        import xml.etree.ElementTree as tree
        with mock.patch.object(charts, "EFFORT", 40):
            for content in (charts.by_size(Plan(), 1), charts.by_rebuild_rate(Plan()), charts.by_placement(Plan(), 1)):
                self.assertEqual(tree.fromstring(content).tag, "{http://www.w3.org/2000/svg}svg")

    def test_a_dot_is_where_its_estimate_is_and_its_bar_ends_at_the_limits(self):
        dot = charts.Series("", "#000", [], [(100, simulation.Estimate(0.01, 0.001, 0.1))])
        axes = charts.Axis("", 1, 10_000, 0, 400), charts.Axis("", 1e-4, 1, 400, 0)
        bar, circle = charts.drawing(dot, *axes)
        self.assertIn('d="M200.0 300.0V100.0"', bar)
        self.assertIn('cx="200.0" cy="200.0"', circle)


if __name__ == "__main__":
    unittest.main()
