"""Tests of packages.sh, with an apt-get of their own."""

import os
import pathlib
import subprocess
import tempfile
import unittest

LIBRARY = pathlib.Path(__file__).parent / "packages.sh"


class Locks(unittest.TestCase):
    """What apt_get does when apt-get fails."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.calls = pathlib.Path(self.folder.name, "calls")

    def run_apt_get(self, failures, message):
        """Runs `apt_get update` with an apt-get whose first `failures` runs fail with the message."""
        program = pathlib.Path(self.folder.name, "apt-get")
        program.write_text(
            "#!/bin/sh\n"
            f"echo call >>{self.calls}\n"
            f"[ $(wc -l <{self.calls}) -gt {failures} ] && exit 0\n"
            f"echo '{message}'\n"
            "exit 100\n")
        program.chmod(0o755)
        # Without the pauses between two tries, and without sudo's own PATH.
        script = f"sleep() {{ :; }}; sudo() {{ \"$@\"; }}; source {LIBRARY}; apt_get update"
        return subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=60,
            env=os.environ | {"PATH": f"{self.folder.name}:{os.environ['PATH']}"})

    def count(self):
        return len(self.calls.read_text().splitlines())

    def test_waits_for_the_lock_of_the_package_lists(self):
        ended = self.run_apt_get(2, "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(self.count(), 3)

    def test_prints_another_failure_at_once(self):
        ended = self.run_apt_get(1, "E: Unable to locate package")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("Unable to locate package", ended.stderr)
        self.assertEqual(self.count(), 1)


if __name__ == "__main__":
    unittest.main()
