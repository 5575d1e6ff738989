"""``fer-sklearn video``: the emotions in a film."""

from ._recording import StopSignals, add_recording_options, record
from ._terminal import note

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  fer-sklearn video holiday.mp4
  fer-sklearn video holiday.mp4 --output holiday.csv --plot holiday.png
  fer-sklearn video holiday.mp4 --annotate shown.mp4 --every 3
  fer-sklearn video holiday.mp4 --page

Faces keep their number while they are followed. The summary tells, for each,
the share of the time in which each emotion was the most probable one.
Ctrl-C stops it: what was told until then is kept and summed up, and the exit
code is 130. Of a film that is truncated, it is 1.
"""


def add_parser(commands):
    """Describe the command."""
    parser = commands.add_parser(
        "video",
        help="tell the emotions in a film",
        description="Tell the emotions in a film, frame by frame, and sum them up.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "film", metavar="FILE", help="a film that OpenCV reads: MP4, MOV, AVI, MKV, WebM, …"
    )
    add_recording_options(parser, show="no-show")
    parser.set_defaults(run=run)
    return parser


def run(args):
    """Analyse a film; return 128 and the number of the signal that stopped it, if one did."""
    with StopSignals() as stop:
        record(args, args.film, live=False, stop=stop)
    if stop.received is None:
        return 0
    note("fer-sklearn: interrupted")
    return 128 + stop.received
