"""Checks what documents point to: files, headings, and the tests that docs/reference/protocol.md names.

Usage: documents.py [FOLDER]

With a FOLDER, checks the links of the documents in it, and no tests.
"""
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPOSITORY
PROTOCOL = ROOT / "docs/reference/protocol.md"


def main():
    documents = [path for path in ROOT.rglob("*.md")
                 if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)]
    faults = [fault for document in sorted(documents) for fault in broken_links(document)]
    if ROOT == REPOSITORY:
        faults += missing_tests()
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


def broken_links(document):
    """Links to files or headings that do not exist."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists():
            yield f"{document.relative_to(ROOT)}: there is no {target}"
        elif anchor and anchor not in anchors(file):
            yield f"{document.relative_to(ROOT)}: {path or 'it'} has no heading #{anchor}"


def anchors(document):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing_tests():
    """Test files and parts of titles in the rows of protocol.md that no test has."""
    sources = {path: path.read_text() for path in (ROOT / "Tests").rglob("*.swift")}
    for line in PROTOCOL.read_text().splitlines():
        if not line.startswith("|"):
            continue
        titles = ""
        for entry in map(str.strip, line.rstrip(" |").rpartition("|")[2].split(";")):
            named = re.match(r"`(?:(\w+)/)?(\w+Tests)`(?: \((\w+)\))?(?:: )?(.*)", entry)
            if named:
                titles = "".join(text for path, text in sources.items()
                                 if named[2] in (path.stem, path.parent.name))
                if not titles:
                    yield f"docs/reference/protocol.md: there is no {named[2]}"
                entry = named[4].lstrip(", ")
            elif re.match(r"`|interop|kernel|cases|the same|shown by|-+$", entry):
                titles = ""
            for part in filter(None, map(str.strip, entry.split("…"))):
                if titles and part not in ("all", "and") and part.rstrip(",") not in titles:
                    yield f'docs/reference/protocol.md: no test is called "{part}": {entry}'


if __name__ == "__main__":
    main()
