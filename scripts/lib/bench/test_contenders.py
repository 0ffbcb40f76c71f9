"""Tests of the choice of contenders. scripts/check runs them."""
import argparse
import tempfile
import unittest
from pathlib import Path

import peers

from . import contenders


def chosen(*generations, against=None):
    options = argparse.Namespace(generations=list(generations), against=against, server_options="", also=[])
    return contenders.all_of(Path("/release"), options)


class GenerationTests(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "nbdkit").touch()
        self.newest = peers.Generation("newest", self.folder)

    def test_a_peer_runs_the_program_of_its_generation_and_this_server_its_own(self):
        self.assertEqual(self.newest.command(["nbdkit", "-f"]), [f"{self.folder}/nbdkit", "-f"])
        self.assertEqual(self.newest.command(["/release/ramdisk-nbd"]), ["/release/ramdisk-nbd"])
        self.assertEqual(peers.DEBIAN.command(["nbdkit", "-f"]), ["nbdkit", "-f"])

    def test_two_generations_have_names_of_their_own(self):
        names = [contender.name for contender in chosen(peers.DEBIAN, self.newest, against=["nbdkit", "stream"])]
        self.assertEqual(names, ["ramdisk-nbd", "no-stats", "nbdkit", "nbdkit-newest", "stream"])

    def test_one_generation_has_the_plain_names_that_charts_know(self):
        names = [contender.name for contender in chosen(self.newest, against=["nbdkit"])]
        self.assertEqual(names, ["ramdisk-nbd", "no-stats", "nbdkit"])

    def test_only_the_newest_qemu_has_extended_headers(self):
        old, new = chosen(peers.DEBIAN, self.newest, against=["qemu-nbd"])[2:]
        self.assertNotIn("extended", old.replies)
        self.assertIn("extended", new.replies)


if __name__ == "__main__":
    unittest.main()
