"""Tests of a campaign with failed rounds. scripts/check runs them."""
import tempfile
import unittest
from pathlib import Path

from . import report
from .campaign import summary


class SummaryTests(unittest.TestCase):
    def test_a_peer_that_finished_no_request_has_no_ratio_for_that_round(self):
        figures = {"ours": [{"iops": 10.0}, {"iops": 30.0}],
                   "theirs": [{"iops": 0.0}, {"iops": 10.0}]}
        self.assertEqual(summary(figures)["theirs"]["ratio"]["median"], 3.0)

    def test_a_peer_that_never_finished_one_has_no_ratio(self):
        figures = {"ours": [{"iops": 10.0}], "theirs": [{"iops": 0.0}]}
        self.assertNotIn("ratio", summary(figures)["theirs"])

    def test_rounds_that_failed_do_not_count(self):
        figures = {"ours": [{"iops": 10.0}, None], "theirs": [None, None]}
        self.assertNotIn("theirs", summary(figures))


class ReportTests(unittest.TestCase):
    def test_a_run_that_has_just_begun_can_be_written(self):
        results = {
            "settings": {"rounds": 1, "seconds": 1, "size": 1 << 20, "clients": []},
            "complete": False,
            "rows": [], "sweeps": {}, "contenders": {},
            "machine": {"date": "", "commit": "", "processors": 1, "processor": "", "virtual": "",
                        "memory_gib": 1, "kernel": "", "system": ""}}
        with tempfile.TemporaryDirectory() as directory:
            report.write(results, Path(directory), charts=False)
            self.assertIn("Not complete", (Path(directory) / "results.md").read_text())


if __name__ == "__main__":
    unittest.main()
