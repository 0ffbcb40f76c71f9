"""Tests of the latency benchmark. scripts/check runs them."""
import tempfile
import unittest
from pathlib import Path

from . import latency


def entry(contender, choice, longest, others=None):
    return {"contender": contender, "autogroups": choice, "latency_p50_us": 10.0,
            "latency_p99_us": 20.0, "latency_p99_9_us": 30.0, "latency_max_us": longest,
            "reads": 1, "others": others or {}, "disturbance": 0.1}


def results(rounds, choices):
    names = {round["contender"] for round in rounds}
    return {
        "settings": {"rounds": 2, "seconds": 1, "size": 1 << 20, "autogroups": choices},
        "rows": [{"name": "stream", "title": "beside writers", "rounds": rounds}],
        "contenders": {name: {"title": name, "version": "", "command": "", "unavailable": None}
                       for name in sorted(names)},
        "machine": {"date": "", "commit": "", "processors": 1, "processor": "", "virtual": "",
                    "kernel": "", "system": "", "load_before": ""}}


class ReportTests(unittest.TestCase):
    def test_the_longest_read_is_that_of_all_rounds_and_the_percentiles_are_medians(self):
        page = latency.markdown(results([entry("ours", None, 5000.0), entry("ours", None, 90000.0)],
                                        [None]))
        self.assertIn("0.01 / 0.02 / 0.03 / **90.0**", page)

    def test_settings_of_the_scheduler_are_kept_apart(self):
        page = latency.markdown(results([entry("ours", "0", 1000.0), entry("ours", "1", 2000000.0)],
                                        ["0", "1"]))
        without, _, grouped = page.partition("## With autogroups")
        self.assertIn("**1.0**", without)
        self.assertNotIn("**2000.0**", without)
        self.assertIn("**2000.0**", grouped)

    def test_a_server_that_failed_in_every_round_is_said_to_have_failed(self):
        failed = {"contender": "theirs", "autogroups": None, "failed": "it took too long"}
        page = latency.markdown(results([entry("ours", None, 1.0), failed], [None]))
        self.assertIn("failed", page)

    def test_what_the_others_did_is_shown(self):
        others = {"stream": {"megabytes_per_second": 1234.0}}
        page = latency.markdown(results([entry("ours", None, 1.0, others)], [None]))
        self.assertIn("writes 1,234 MB/s", page)

    def test_a_row_of_the_control_socket_is_not_for_other_servers(self):
        row = next(row for row in latency.ROWS if row.name == "snapshots")
        self.assertFalse(row.applies(latency.contenders.QemuNbd("qemu-nbd", "")))
        self.assertTrue(row.applies(latency.contenders.RamdiskNBD("x", [])))


class AutogroupTests(unittest.TestCase):
    def test_the_setting_is_put_back_after_an_interruption(self):
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "setting"
            file.write_text("1\n")
            before, latency.AUTOGROUP = latency.AUTOGROUP, file
            try:
                with self.assertRaises(KeyboardInterrupt), latency.autogroups("0"):
                    self.assertEqual(file.read_text(), "0")
                    raise KeyboardInterrupt
                self.assertEqual(file.read_text(), "1\n")
            finally:
                latency.AUTOGROUP = before


if __name__ == "__main__":
    unittest.main()
