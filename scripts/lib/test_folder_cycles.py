"""Tests of the check for cycles between folders. scripts/check runs them."""
import unittest
from pathlib import PurePath

from folder_cycles import cycles


def found(files):
    return list(cycles("Engine", {PurePath(path): text for path, text in files.items()}))


class FolderCycles(unittest.TestCase):
    def test_one_way_is_none(self):
        self.assertEqual(found({"A/One.swift": "struct One { var two: Two }", "B/Two.swift": "struct Two {}"}), [])

    def test_both_ways_are_one(self):
        faults = found({"A/One.swift": "package final class One { let two: Two }",
                        "B/Two.swift": "struct Two {}\n\nextension One {}"})
        self.assertEqual(len(faults), 2)
        self.assertIn("A/One.swift uses Two of B", faults[0])
        self.assertIn("B/Two.swift uses One of A", faults[1])

    def test_longer_cycles_are_found(self):
        files = {"A/One.swift": "struct One { let two: Two }", "B/Two.swift": "struct Two { let three: Three }",
                 "C/Three.swift": "@frozen public struct Three {\n    let one: [One]\n}"}
        self.assertEqual(len(found(files)), 3)
        self.assertEqual(found(files | {"C/Three.swift": "struct Three {}"}), [])

    def test_files_beside_folders_are_a_folder(self):
        self.assertEqual(len(found({"One.swift": "enum One { case two(Two) }", "Other.swift": "struct Other {}",
                                    "B/Two.swift": "func Two(_: Other) {}"})), 2)

    def test_a_nested_folder_is_part_of_its_parent(self):
        self.assertEqual(found({"A/One.swift": "struct One { var two: Two }",
                                "A/Inner/Two.swift": "struct Two { var one: One? }"}), [])

    def test_comments_and_members_do_not_count(self):
        self.assertEqual(found({"A/One.swift": "/// See Two.\nstruct One {\n    // As Two does.\n    case Inner\n}",
                                "B/Two.swift": "struct Two {\n    struct Inner {}\n    let one: One\n}"}), [])


if __name__ == "__main__":
    unittest.main()
