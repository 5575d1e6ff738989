"""The command line: ``fer-sklearn predict | video | webcam | train | evaluate | …``.

Each file has ``add_parser``, which describes the options of its command, and ``run``; a second
command of the same kind has ``add_NAME_parser`` and ``run_NAME`` beside them. Results go to stdout,
everything else to stderr. The files import nothing heavy before their command runs, so that
``--help`` is fast.
"""

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

from .. import __version__
from . import (
    _evaluate,
    _export,
    _info,
    _predict,
    _train,
    _video,
)
from ._output import CommandError, one_line, quiet_start_up, safe_streams, warnings_as_lines

__all__ = ["main"]

_DESCRIPTION = """\
Recognise facial expressions: train, tune, compare and use models that
distinguish angry, disgust, fear, happy, neutral, sad and surprise.
"""

_EXAMPLES = """\
first steps:
  fer-sklearn predict                       run on the bundled sample photo
  fer-sklearn predict photo.jpg             the emotions in a photo
  fer-sklearn webcam                        live emotions from your webcam
  fer-sklearn benchmark                     compare two models, no data needed
  fer-sklearn train my_photos/ --from default --output mine.fer
  fer-sklearn train fer2013.zip --model hog-svm --output hog.fer
  fer-sklearn evaluate hog.fer fer2013.zip
  fer-sklearn export page/ --format web     export a web app for the browser
  fer-sklearn serve                         serve predictions over HTTP

"fer-sklearn COMMAND --help" explains the options of a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments. If None, those of the process.

    Returns
    -------
    int
        0 on success, 1 on failure, 130 after Ctrl-C. Wrong usage raises ``SystemExit(2)``.

    Examples
    --------
    >>> from fer_sklearn.cli import main
    >>> main(["evaluate", "no-such-model.fer", "photos"])  # the error goes to stderr
    1
    """
    with safe_streams():
        return _run(_make_parser().parse_args(argv))


def _run(args):
    # Before the first import of TensorFlow, which reads it once.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet_start_up(enabled=not args.debug), warnings_as_lines():
            return args.run(args)
    except BrokenPipeError:
        # The reader of the output closed it (`| head`); Python must not flush into it.
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
    """Return the message of an expected error, and also the type of an unexpected one."""
    text = one_line(error)
    if isinstance(error, (CommandError, ValueError, OSError, ImportError)) and text:
        return text
    return f"{type(error).__name__}: {text} (add --debug for details)"


def _make_parser():
    parser = argparse.ArgumentParser(
        prog="fer-sklearn",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", "-V", action="version", version=f"fer-sklearn {__version__}")
    width = shutil.get_terminal_size().columns - 2
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", required=True)
    add_parsers = (
        _predict.add_parser,
        _video.add_parser,
        _video.add_webcam_parser,
        _train.add_parser,
        _evaluate.add_parser,
        _export.add_parser,
        _train.add_tune_parser,
        _evaluate.add_benchmark_parser,
        _info.add_parser,
        _export.add_serve_parser,
    )
    for add_parser in add_parsers:
        command = add_parser(commands)
        # Examples are printed as they are, so descriptions have to be wrapped here.
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        command.description = textwrap.fill(command.description or "", width)
        command.add_argument(
            "--debug", action="store_true", help="show the traceback of an error, and all logs"
        )
        command.set_defaults(parser=command)
    return parser
