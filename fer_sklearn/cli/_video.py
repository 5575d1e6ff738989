"""``fer-sklearn video``: the emotions in a film."""

import argparse
import os
import signal
import threading
from dataclasses import replace

from ._models import MODEL_HELP, load_model, positive_int
from ._output import CommandError, add_format, check_output, emit, note, progress, render

__all__ = ["StopSignals", "add_parser", "add_recording_options", "record", "run"]

_FORMATS = ("table", "csv", "json")
_QUIET = "-8"
_EXAMPLES = """\
examples:
  fer-sklearn video holiday.mp4
  fer-sklearn video holiday.mp4 --output holiday.csv --plot holiday.png
  fer-sklearn video holiday.mp4 --annotate shown.mp4 --every 3
  fer-sklearn video holiday.mp4 --browser

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
    add_recording_options(parser, show="headless")
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


def add_recording_options(parser, *, show):
    """Add the options of both commands; `show` is the default: browser or headless."""
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        help="write the time line there, a CSV: a row for each face of each frame",
    )
    parser.add_argument(
        "--annotate",
        metavar="FILM",
        help="write a film with faces and emotions drawn on: .mp4, .mov, .mkv, .webm, .avi",
    )
    parser.add_argument(
        "--plot", metavar="PICTURE", help="draw the emotions over time: .png, .svg, .pdf, .jpg"
    )
    parser.add_argument(
        "--every",
        type=positive_int,
        default=1,
        metavar="K",
        help="search only every K-th frame for faces (default: 1)",
    )
    parser.add_argument(
        "--smoothing",
        type=_seconds,
        default=0.5,
        metavar="S",
        help="average probabilities over about S seconds; 0: not at all (default: 0.5)",
    )
    parser.add_argument(
        "--seconds", type=_some_seconds, metavar="S", help="stop after S seconds of it"
    )
    parser.add_argument(
        "--model", "-m", metavar="MODEL", default="default", help=f"{MODEL_HELP} (default: default)"
    )
    parser.add_argument(
        "--detector",
        choices=("haar", "yunet"),
        help="what finds faces (default: haar, or that of the model file)",
    )
    where = parser.add_mutually_exclusive_group()
    for name, text in (
        ("browser", "show the annotated frames on a local web page, for this computer only"),
        ("headless", "show nothing"),
    ):
        where.add_argument(
            f"--{name}",
            dest="show",
            action="store_const",
            const=name,
            default=show,
            help=text + (" (default)" if name == show else ""),
        )
    parser.add_argument(
        "--port",
        type=positive_int,
        default=0,
        metavar="N",
        help="port of the page (default: any that is free)",
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    add_format(parser, choices=_FORMATS, file=False)


def record(args, source, *, live, stop):
    """Analyse a source as the options say, and print the summary.

    Parameters
    ----------
    args : namespace
        The options.
    source : str or int
        Film, camera or address.
    live : bool or None
        As of :func:`~fer_sklearn.analyze_video`.
    stop : StopSignals
        Ends it early.

    Raises
    ------
    CommandError
        After the summary, if a film was truncated, a camera went away or the like.
    """
    from ..video import analyze_video

    # FFmpeg's own lines about damaged films, which the command's error tells in one. It reads
    # this once, when OpenCV first opens a film.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _QUIET)
    for option in ("output", "annotate", "plot"):
        if (path := getattr(args, option)) is not None:
            check_output(path, force=args.force, option=f"--{option}")
    viewer = None if args.show == "headless" else lambda: _page(args)
    summary = analyze_video(
        source,
        load_model(args.model),
        detector=args.detector,
        timeline=args.output,
        annotated=args.annotate,
        plot=args.plot,
        viewer=viewer,
        every=args.every,
        smoothing=args.smoothing,
        live=live,
        seconds=args.seconds,
        stop=stop,
        progress=_bar,
    )
    _tell(args, summary)
    if summary.problem is not None:
        raise CommandError(summary.problem)


class StopSignals:
    """Turn Ctrl-C and SIGTERM into an answer to "stop?", so that no file is left half written.

    The second signal, or one that comes before anything was recorded, interrupts at once.

    Attributes
    ----------
    received : int or None
        The signal.
    """

    def __init__(self):
        self.received = None
        self._is_asked = False
        self._before = {}

    def __enter__(self):
        # Python lets only the main thread handle signals.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self):
        self._is_asked = True
        return self.received is not None

    def _receive(self, number, frame):
        if self.received is not None or not self._is_asked:
            raise KeyboardInterrupt
        self.received = number


def _page(args):
    from ..video import StreamPage

    page = StreamPage(port=args.port)
    note(f"Open {page.url} in a browser to see it; Stop there, or Ctrl-C here, ends it.")
    return page


def _bar(frames, *, total, unit):
    # A camera has no end; a bar without one only counts.
    return progress(frames, total=total, unit=unit, leave=False)


def _tell(args, summary):
    """Print the summary, and say what was written."""
    rows = summary.rows()
    if args.format in (None, "table"):
        # The problem is told as the command's error.
        emit(str(replace(summary, problem=None)))
    elif rows or args.format == "json":
        emit(render(rows, args.format) if rows else "[]")
    for path in (args.output, args.annotate, None if not rows else args.plot):
        if path is not None:
            note(f"Written to {path}")
    if not rows:
        note("No face was found" + ("" if args.plot is None else "; there is nothing to plot"))


def _seconds(text):
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return number


def _some_seconds(text):
    if _seconds(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return float(text)
