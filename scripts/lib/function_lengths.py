"""Fails when a Swift function is longer than a screen.

A file may be as long as its idea; a function is read as a whole. The count is by braces, which swift-format
keeps on the lines where this expects them.
"""

import re
import sys
from pathlib import Path

MOST_LINES = 45
BEGINS = re.compile(r"^( *)(?:@\w+(?:\([^)]*\))? )*(?:\w+ )*?(?:func\b|init\b[?(<]|deinit\b|subscript\b)")


def long_functions(path: Path):
    """Yields the line and the length of each function of a file that is too long."""
    lines = path.read_text().splitlines()
    for start, line in enumerate(lines):
        match = BEGINS.match(line)
        if not match:
            continue
        closing = match[1] + "}"
        for end in range(start, len(lines)):
            if lines[end] == closing:
                if end - start + 1 > MOST_LINES:
                    yield start + 1, end - start + 1
                break
            # A requirement of a protocol, or a body on one line, has no closing brace of its own.
            if end > start and lines[end].strip() and not lines[end].startswith(match[1] + " ") and lines[end].strip() not in (")", "{") and not lines[end].startswith(match[1] + ")"):
                break


def main(folders) -> int:
    status = 0
    for folder in folders:
        paths = [Path(folder)] if folder.endswith(".swift") else sorted(Path(folder).rglob("*.swift"))
        for path in paths:
            for line, count in long_functions(path):
                print(f"{path}:{line}: a function of {count} lines; the limit is {MOST_LINES}")
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
