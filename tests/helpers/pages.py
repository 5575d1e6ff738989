"""The code on a page of the documentation: its Python, its shell blocks, its command lines."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COOKBOOK = ROOT / "docs" / "cookbook.md"
COMMAND = "fer-sklearn"


def code_blocks(text, language):
    """Return (line, code) of every fenced block of a language, including indented ones."""
    pattern = rf"^([ ]*)```{language}[^\S\n]*\n(.*?)^\1```[ ]*$"
    return [
        (text.count("\n", 0, match.start(2)), _dedent(match[2], len(match[1])))
        for match in re.finditer(pattern, text, flags=re.MULTILINE | re.DOTALL)
    ]


def _dedent(code, n_blanks):
    return "".join(line[n_blanks:] or "\n" for line in code.splitlines(keepends=True))


def run_python(text, filename):
    """Execute the Python blocks of a page in one namespace; tracebacks name its lines."""
    namespace = {"__name__": "__main__"}
    for line, code in code_blocks(text, "python"):
        exec(compile("\n" * line + code, filename, "exec"), namespace)
    return namespace


def command_lines(text):
    """Return the arguments of every call of fer-sklearn in the shell blocks."""
    found = []
    for _, block in code_blocks(text, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.strip().removeprefix("$ "), comments=True)
            # One line may do several things: `pip install … && fer-sklearn …`.
            starts = [i + 1 for i, word in enumerate(words) if word == COMMAND]
            for start in starts:
                rest = words[start:]
                ends = [i for i, word in enumerate(rest) if word in {"&&", "||", "|", ";", ">"}]
                found.append(rest[: ends[0]] if ends else rest)
    return found
