"""What is said beside the results: notes, warnings and errors, a line each, on stderr."""

import os
import re
import sys
import tempfile
import warnings
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

__all__ = [
    "CommandError",
    "check_output",
    "note",
    "one_line",
    "progress",
    "quiet_start_up",
    "warnings_as_lines",
]

# What TensorFlow's libraries say at import before they read TF_CPP_MIN_LOG_LEVEL, and LiteRT.
_START_UP = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d:\S+ +\d+ \S+\.cc:"
    rb"|INFO: Created TensorFlow Lite|fully_quantize: "
)


class CommandError(Exception):
    """A command cannot do what it was asked; the message says why and what to do."""


def note(message):
    """Say something that is not a result."""
    print(message, file=sys.stderr, flush=True)


def one_line(message):
    """Return a message, or an error's, without line breaks."""
    return " ".join(str(message).split())


def progress(iterable, **options):
    """Show a bar on stderr while `iterable` is read, if that is a terminal."""
    from tqdm import tqdm

    hidden = not sys.stderr.isatty()
    return tqdm(iterable, file=sys.stderr, disable=hidden, dynamic_ncols=True, **options)


def check_output(path, *, force, option="--output"):
    """Refuse, before any work is done, a file that could not or should not be written."""
    path = Path(path)
    if path.is_dir():
        raise CommandError(f"{path} is a folder; name a file in it, such as {path / 'model.fer'}")
    if not path.parent.is_dir():
        raise CommandError(f"{path}: there is no folder {path.parent}. Create it first.")
    if path.exists() and not force:
        raise CommandError(
            f"{path} exists already. Choose another {option}, or add --force to replace it."
        )
    return path


@contextmanager
def warnings_as_lines():
    """Show warnings as single lines, without the code that raised them."""

    def show(message, category, filename, lineno, file=None, line=None):
        note(f"fer-sklearn: warning: {one_line(message)}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def quiet_start_up(*, enabled):
    """Keep the lines that TensorFlow prints at import, here and in workers, off the terminal.

    They bypass Python, so the file descriptor itself is led aside; Python's own stderr keeps
    the terminal. Whatever else was printed there is shown in the end.
    """
    if not enabled or os.environ["TF_CPP_MIN_LOG_LEVEL"] != "3":
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as aside, os.fdopen(terminal, "w", buffering=1) as stderr:
        os.dup2(aside.fileno(), 2)
        try:
            with redirect_stderr(stderr if _is_descriptor_2(sys.stderr) else sys.stderr):
                yield
        finally:
            os.dup2(terminal, 2)
            aside.seek(0)
            for line in aside:
                if not _START_UP.match(line):
                    os.write(terminal, line)


def _is_descriptor_2(stream):
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError):  # replaced by something in memory
        return False
