"""The size of the code as a Markdown table.

    code_size.py [COMMIT]    prints it, of a commit or of the files here
    code_size.py --update    writes that of the files here into docs/internals/figures.md

One row for each target: files, lines, lines of code, the median lines of a file, functions, the median and the most
lines of a function. Lines include comments and empty lines. Lines of code do not, nor imports, nor texts of several
lines, such as help.
"""
import io
import re
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/internals/figures.md"
BEGIN, END = "<!-- code_size: begin -->", "<!-- code_size: end -->"
FOLDERS = ["Sources", "Benchmarks", "Examples", "Fuzz", "Tests"]
IMPORT = re.compile(r"\s*((public|package|internal|@\w+(\(\w+\))?) )*import |\s*#include")
SIGNATURE = re.compile(r"^( *)(?:@\w+(?:\([^)]*\))? )*(?:\w+ )*?(?:func\b|init\b[?(<]|deinit\b|subscript\b)")


def main():
    if sys.argv[1:] == ["--update"]:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table(of_folder())}\n{END}{after}")
    else:
        print(table(of_commit(sys.argv[1]) if len(sys.argv) > 1 else of_folder()))


def table(files):
    targets = {}
    for path, text in files.items():
        parts = Path(path).parts
        if parts[0] in FOLDERS and path.endswith((".swift", ".c", ".h")):
            name = parts[0] if parts[0] in ("Fuzz", "Examples") else "/".join(parts[:2])
            targets.setdefault(name, []).append(text)
    rows = ["| target | files | lines | code | median file | functions | median function | longest |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for folder in FOLDERS:
        names = sorted(name for name in targets if name.split("/")[0] == folder)
        rows += [row(name, targets[name]) for name in names]
        if len(names) > 1:
            rows.append(row(f"**{folder}**", [text for name in names for text in targets[name]]))
    return "\n".join(rows)


def of_folder():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", *FOLDERS], capture_output=True, text=True, check=True)
    paths = (ROOT / name for name in listed.stdout.splitlines())
    return {str(path.relative_to(ROOT)): path.read_text(errors="replace") for path in paths if path.exists()}


def of_commit(commit):
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read().decode(errors="replace")
                for member in tar if member.isfile()}


def row(name, texts):
    lines = [len(text.splitlines()) for text in texts]
    functions = [length for text in texts for length in lengths(text.splitlines())]
    median = f"{statistics.median(functions):.0f}" if functions else ""
    longest = str(max(functions)) if functions else ""
    return (f"| {name} | {len(texts)} | {sum(lines):,} | {sum(map(code_lines, texts)):,} | {statistics.median(lines):.0f} "
            f"| {len(functions):,} | {median} | {longest} |")


def code_lines(text):
    """The number of lines that are no empty line, comment or import, and no part of a text of several lines."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    count, is_in_text = 0, False
    for line in text.splitlines():
        if line.count('"""') % 2:
            is_in_text = not is_in_text
        elif not is_in_text and line.strip() and not line.strip().startswith("//") and not IMPORT.match(line):
            count += 1
    return count


def lengths(lines):
    """Lines of each Swift function with a body, from its signature to its closing brace."""
    for start, line in enumerate(lines):
        match = SIGNATURE.match(line)
        if not match:
            continue
        if re.search(r"\{.*\}$", line):
            yield 1
            continue
        indent = match[1]
        for end in range(start + 1, len(lines)):
            if lines[end] == indent + "}":
                yield end - start + 1
                break
            # A requirement of a protocol has no body.
            if lines[end].strip() and not lines[end].startswith((indent + " ", indent + ")")):
                break


if __name__ == "__main__":
    main()
