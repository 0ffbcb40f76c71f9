"""Tests of the count of lines of code. scripts/check runs them."""
import unittest

from code_size import code_lines


class CodeLines(unittest.TestCase):
    def test_empty_lines_comments_and_imports_do_not_count(self):
        self.assertEqual(code_lines("internal import Glibc\n@testable import Engine\n\n/// A type.\nstruct One {}\n"), 1)

    def test_texts_of_several_lines_do_not_count(self):
        self.assertEqual(code_lines('let a = f(\n    """\n    One.\n\n    // Two.\n    """)\nlet b = """one line"""\n'), 2)

    def test_C_counts_too(self):
        self.assertEqual(code_lines("#include <poll.h>\n/* One\n * two. */\nint one(void) {\n    return 1; // One.\n}\n"), 3)


if __name__ == "__main__":
    unittest.main()
