"""Tests of the report. scripts/check runs them."""
import unittest

from . import report


def results(*runs):
    return {"kernel": "6", "versions": {}, "qemu": "", "loads": {"read": "read, 1 in flight"},
            "targets": {"up": {"title": "up", "settings": "scheduler=none", "failed": "", "loads": {
                "read": [{"instructions": count, "switches": 1.5, "calls": 0.25} for count in runs]}}}}


class ReportTests(unittest.TestCase):
    def test_a_figure_is_the_mean_of_the_runs(self):
        self.assertIn("| up | 41.0 |", report.markdown(results(40_000, 42_000)))

    def test_the_largest_difference_of_runs_is_told(self):
        self.assertIn("differ by at most 4.9%", report.markdown(results(40_000, 42_000)))
        self.assertIn("differ by at most 0.0%", report.markdown(results(40_000)))

    def test_a_target_that_failed_has_a_reason_and_no_row_of_figures(self):
        failed = results()
        failed["targets"]["up"]["settings"] = ""
        failed["targets"]["up"]["failed"] = "it did not start"
        text = report.markdown(failed)
        self.assertIn("| up | it did not start |", text)
        self.assertEqual(text.count("| up |"), 1)


if __name__ == "__main__":
    unittest.main()
