"""The command line: ``fer-sklearn predict | video | webcam | train | evaluate | …``.

Each file describes its command by a :class:`~fer_sklearn.cli._output.Command`, some together with a
second one of the same kind. Results go to stdout, everything else to stderr. The files import
nothing heavy before their command runs, so that ``--help`` is fast.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ._evaluate import BENCHMARK, EVALUATE
from ._export import EXPORT, SERVE
from ._info import INFO
from ._output import CommandError, one_line, quiet_start_up, safe_streams, warnings_as_lines
from ._predict import PREDICT
from ._train import TRAIN, TUNE
from ._video import VIDEO, WEBCAM

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

# In the order of the list that the program prints.
_COMMANDS = (
    *(PREDICT, VIDEO, WEBCAM, TRAIN, EVALUATE, EXPORT),
    *(TUNE, BENCHMARK, INFO, SERVE),
)


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
        parser = _make_parser()
        args = parser.parse_args(argv)
        if "run" not in args:
            names = ", ".join(command.name for command in _COMMANDS)
            parser.error(f"a COMMAND is missing; expected one of {names}. Type: fer-sklearn --help")
        return _run(args)


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
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for command in _COMMANDS:
        command.add_to(commands)
    return parser
