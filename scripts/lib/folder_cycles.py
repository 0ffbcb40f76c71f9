"""Fails when the folders of one target depend on each other.

Usage: folder_cycles.py FOLDER...

The compiler enforces the arrows between targets, and this those inside of one: a folder depends on another one when
it names a type, or a global function, that the other one declares. A nested folder is part of the folder that it is
in. The files beside the folders are a folder of their own, named ".".
"""
import re
import sys
from pathlib import Path

DECLARATION = re.compile(
    r"^(?:@\w+(?:\([^)]*\))? +)*(?:(?:public|package|internal|final|indirect|nonisolated) +)*"
    r"(?:struct|class|enum|protocol|actor|typealias|func|macro) +`?([A-Za-z_]\w*)", re.MULTILINE)


def main(folders):
    faults = [fault for folder in folders for target in sorted(Path(folder).iterdir()) if target.is_dir()
              for fault in cycles(target.name, read(target))]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def read(target):
    """The texts of a target's Swift files, by their paths in it."""
    return {path.relative_to(target): path.read_text() for path in target.rglob("*.swift")}


def cycles(target, files):
    """One sentence for each reference that is part of a cycle."""
    references = references_between_folders(files)
    for (source, destination), names in sorted(references.items()):
        if source in reachable(destination, references):
            name, path = min(names)
            yield f"{target}: {path} uses {name} of {destination}, which depends on {source}"


def references_between_folders(files):
    """Which names, in which files, one folder uses of another, by pairs of folders."""
    codes = {path: without_comments(text) for path, text in files.items()}
    declared = {}
    for path, code in codes.items():
        for name in DECLARATION.findall(code):
            declared.setdefault(name, set()).add(folder(path))
    references = {}
    for path, code in codes.items():
        for name in set(re.findall(r"\b[A-Za-z_]\w*\b", code)) & declared.keys():
            if folder(path) not in declared[name]:
                for owner in declared[name]:
                    references.setdefault((folder(path), owner), set()).add((name, str(path)))
    return references


def folder(path):
    return Path(path).parts[0] if len(Path(path).parts) > 1 else "."


def without_comments(text):
    return re.sub(r"^ *//.*$", "", text, flags=re.MULTILINE)


def reachable(start, references):
    """The folders that a folder depends on, and itself."""
    found, new = {start}, [start]
    while new:
        folder = new.pop()
        new += [other for (source, other) in references if source == folder and other not in found]
        found.update(new)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
