"""Makes the links in installed documents valid: one to a file that is not installed becomes text that says where it is.

Usage: mend_links.py FOLDER [UNITS]

FOLDER has the documents, in the folders of the repository. UNITS is the folder of systemd's units.
"""
import os
import re
import sys
from pathlib import Path

# Code stays as it is.
LINK = re.compile(r"```.*?```|`[^`\n]*`|\[([^\]]*)\]\(([^)\s]+)\)", re.DOTALL)


def main():
    folder = Path(sys.argv[1])
    units = sys.argv[2] if len(sys.argv) > 2 else None
    for document in sorted(folder.rglob("*.md")):
        text = document.read_text()
        mended = LINK.sub(lambda link: mend(link, document, folder, units), text)
        if mended != text:
            document.write_text(mended)


def mend(link, document, folder, units):
    """Returns a link, or the text in its place."""
    text, target = link[1], link[2]
    path = (target or "").partition("#")[0]
    if not path or re.match(r"[a-z]+:", path) or (document.parent / path).exists():
        return link[0]
    source = os.path.relpath(os.path.normpath(document.parent / path), folder)
    unit = re.search(r"(?:^|/)systemd(/.*)?$", source)
    if unit and units:
        return f"{text} (installed: {units}{unit[1] or ''})"
    return text if source.startswith("docs/man/") else f"{text} (in the sources: {source})"


if __name__ == "__main__":
    main()
