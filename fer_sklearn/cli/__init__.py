"""The command line: ``fer-sklearn predict | video | webcam | train | evaluate | …``.

Each command is a file with ``add_parser``, which describes its options, and a function that
runs it. Results go to stdout, all else to stderr. The files import nothing heavy before
their command runs, so that ``--help`` answers at once.
"""

import argparse
import os
import sys

from .. import __version__
from . import _benchmark, _evaluate, _export, _info, _predict, _train, _tune, _video, _webcam
from ._output import CommandError, one_line, quiet_start_up, warnings_as_lines

__all__ = ["main"]

_DESCRIPTION = """\
Recognise facial expressions: train, tune, compare and use models that tell
angry, disgust, fear, happy, neutral, sad and surprise apart.
"""

_EXAMPLES = """\
first steps:
  fer-sklearn predict                       a photo that comes along
  fer-sklearn predict photo.jpg             the emotions in a photo
  fer-sklearn webcam                        the emotions before a camera
  fer-sklearn benchmark                     compare two models, no data needed
  fer-sklearn train fer2013.zip --model hog-svm --output hog.fer
  fer-sklearn evaluate hog.fer fer2013.zip
  fer-sklearn export page/ --format web     a page that does it in the browser

"fer-sklearn COMMAND --help" explains the options of a command.
"""


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    int
        0 if all is done, 1 if something failed. Wrong usage ends in ``SystemExit(2)``.

    Examples
    --------
    >>> from fer_sklearn.cli import main
    >>> main(["evaluate", "no-such-model.fer", "photos"])  # told on stderr
    1
    """
    args = _make_parser().parse_args(argv)
    # Before the first import of TensorFlow, which reads it once.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet_start_up(enabled=not args.debug), warnings_as_lines():
            return args.run(args)
    except BrokenPipeError:
        # Whoever read the output has read enough (`| head`); Python must not flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as error:
        for line in getattr(error, "__notes__", ()):
            print(line, file=sys.stderr)
        print("fer-sklearn: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            raise
        print(f"fer-sklearn: error: {_describe(error)}", file=sys.stderr)
        return 1


def _describe(error):
    """Tell an expected error by its message, an unexpected one by its type too."""
    text = one_line(error)
    if isinstance(error, (CommandError, ValueError, OSError, ImportError)) and text:
        return text
    return f"{type(error).__name__}: {text} (--debug shows where)"


class _HelpFormatter(argparse.HelpFormatter):
    """Wrap paragraphs, and leave texts of several lines, the examples, as they are."""

    def _fill_text(self, text, width, indent):
        if "\n" in text:
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)


def _make_parser():
    parser = argparse.ArgumentParser(
        prog="fer-sklearn",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--version", "-V", action="version", version=f"fer-sklearn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", required=True)
    modules = (_predict, _video, _webcam, _train, _evaluate, _export, _tune, _benchmark, _info)
    for module in modules:
        command = module.add_parser(commands)
        command.formatter_class = _HelpFormatter
        command.add_argument(
            "--debug", action="store_true", help="show where an error came from, and all logs"
        )
        command.set_defaults(parser=command)
    return parser
