"""``fer-sklearn video`` and ``fer-sklearn webcam``: emotions in a video or from a camera."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from dataclasses import replace

from ._models import (
    add_reader_options,
    load_reader,
    port,
    positive_int,
    positive_int_or_auto,
    positive_seconds,
    seconds,
)
from ._output import Command, CommandError, add_format, check_output, emit, note, progress, render

__all__ = ["VIDEO", "WEBCAM", "StopSignals", "run", "run_webcam"]

_FORMATS = ("table", "csv", "json")
_QUIET = "-8"
_VIDEO_HELP = """\
recognise the emotions in a video

Recognise the emotions in a video, frame by frame, and summarise them.

examples:
  fer-sklearn video holiday.mp4
  fer-sklearn video holiday.mp4 --output holiday.csv --plot holiday.png
  fer-sklearn video holiday.mp4 --annotate annotated.mp4 --stride 3
  fer-sklearn video holiday.mp4 --browser

Faces keep their number while they are tracked. The summary shows for every face
the fraction of time for which each emotion was the most probable one, and the
mean probabilities; --faces writes it to a file.
Press Ctrl-C to stop early; results so far are kept and summarised (exit code
130). A truncated video gives exit code 1.
"""
_WEBCAM_HELP = """\
show live emotions from your webcam in the browser

Recognise emotions in the images of a camera or stream, until you stop it.

examples:
  fer-sklearn webcam
  fer-sklearn webcam 1
  fer-sklearn webcam rtsp://camera.local/stream --headless --output today.csv
  fer-sklearn webcam --duration 60 --annotate me.mp4 --plot me.png

Open the printed address to watch the annotated frames in your browser; only
this computer can open it. Frames that arrive while one is being processed are
dropped, so the display never lags. Press Ctrl-C to stop: all files are
completed and a summary is printed (exit code 0). If the camera is lost and
does not come back, the exit code is 1.
"""


def _add_video_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "video", metavar="FILE", help="a video that OpenCV can read: MP4, MOV, AVI, MKV, WebM, …"
    )
    _add_options(parser, show="headless")


def _add_webcam_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "camera",
        metavar="CAMERA",
        nargs="?",
        default="0",
        help="number of a camera, or address of a stream (default: 0, the first camera)",
    )
    _add_options(parser, show="browser")
    parser.add_argument(
        "--reconnect",
        type=seconds,
        default=60.0,
        metavar="S",
        help="try for S seconds to reconnect to a camera that is lost (default: 60)",
    )


def run(args: argparse.Namespace) -> int:
    """Analyse a video; if a signal stops it, return 128 plus the number of the signal."""
    with StopSignals() as should_stop:
        _analyze(args, args.video, drop_frames=False, should_stop=should_stop)
    if should_stop.received is None:
        return 0
    note("fer-sklearn: interrupted")
    return 128 + should_stop.received


def run_webcam(args: argparse.Namespace) -> int:
    """Watch a camera until a signal or the page stops it, which is the normal way to end."""
    source = int(args.camera) if args.camera.isdecimal() else args.camera
    with StopSignals() as should_stop:
        _analyze(
            args,
            source,
            drop_frames=None,
            reconnect_seconds=args.reconnect,
            should_stop=should_stop,
        )
    return 0


def _add_options(parser: argparse.ArgumentParser, *, show: str) -> None:
    """Add the options of both commands; `show` is the default: browser or headless."""
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        help="write the timeline to this CSV file, with one row per face and frame",
    )
    parser.add_argument(
        "--provenance",
        action="store_true",
        help="also record how the timeline was made: versions, network, detector, framing and "
        "labels, in FILE.provenance.json next to the file of --output",
    )
    parser.add_argument(
        "--annotate",
        metavar="VIDEO",
        help="write a video with faces and emotions drawn on it: .mp4, .mov, .mkv, .webm, .avi",
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="plot the emotions over time: .png, .svg, .pdf, .jpg"
    )
    parser.add_argument(
        "--faces",
        metavar="FILE",
        help="write a table to this CSV file, with one row per face: how long it showed each "
        "emotion, mean probabilities, changes, and when it was seen",
    )
    parser.add_argument(
        "--stride",
        type=positive_int,
        default=1,
        metavar="N",
        help="read every N-th frame only; the others get no rows (default: 1)",
    )
    parser.add_argument(
        "--detect-every",
        type=positive_int_or_auto,
        default="auto",
        metavar="N",
        help="search all of every N-th frame that is read, and follow known faces in between "
        "(default: auto)",
    )
    parser.add_argument(
        "--smoothing",
        type=seconds,
        default=0.5,
        metavar="S",
        help="average probabilities over about S seconds; 0 disables smoothing (default: 0.5)",
    )
    parser.add_argument(
        "--duration", type=positive_seconds, metavar="S", help="stop after S seconds of video"
    )
    add_reader_options(parser)
    group = parser.add_mutually_exclusive_group()
    for name, text in (
        ("browser", "show the annotated frames on a web page that only this computer can open"),
        ("headless", "show nothing"),
    ):
        group.add_argument(
            f"--{name}",
            dest="show",
            action="store_const",
            const=name,
            default=show,
            help=text + (" (default)" if name == show else ""),
        )
    parser.add_argument(
        "--port",
        type=port,
        default=0,
        metavar="N",
        help="port of the web page (default: any free one)",
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    add_format(parser, choices=_FORMATS, file=False)


def _analyze(
    args: argparse.Namespace,
    source: str | int,
    *,
    drop_frames: bool | None,
    reconnect_seconds: float = 0.0,
    should_stop: StopSignals,
) -> None:
    """Analyse a source as the options say, and print the summary.

    Parameters
    ----------
    args : namespace
        The options.
    source : str or int
        Video, camera or address.
    drop_frames, reconnect_seconds : bool or None, float
        As in :func:`~fer_sklearn.analyze_video`.
    should_stop : StopSignals
        Ends it early.

    Raises
    ------
    CommandError
        After the summary, for example if a video was truncated or a camera was lost.
    """
    from ..video import analyze_video

    if args.provenance and not args.output:
        args.parser.error("argument --provenance: only with --output")
    # FFmpeg's own messages about damaged videos, which the error of the command replaces. It
    # reads this once, when OpenCV first opens a video.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _QUIET)
    for option in ("output", "annotate", "plot", "faces"):
        if (path := getattr(args, option)) is not None:
            check_output(path, force=args.force, option=f"--{option}")
    summary = analyze_video(
        source,
        load_reader(args.model, args.labels, detector=args.detector),
        output=args.output,
        annotated_video=args.annotate,
        plot_path=args.plot,
        faces_path=args.faces,
        viewer=None if args.show == "headless" else lambda: _page(args),
        stride=args.stride,
        detect_every=args.detect_every,
        smoothing_seconds=args.smoothing,
        drop_frames=drop_frames,
        reconnect_seconds=reconnect_seconds,
        duration=args.duration,
        provenance=args.provenance,
        should_stop=should_stop,
        progress=_bar,
    )
    _print_summary(args, summary)
    if summary.problem is not None:
        raise CommandError(summary.problem)


class StopSignals:
    """Let Ctrl-C and SIGTERM end an analysis between frames, so that all files are complete.

    The second signal, or one that arrives before the first frame, interrupts at once.

    Attributes
    ----------
    received : int or None
        The signal.
    """

    def __init__(self):
        self.received = None
        self._is_used = False
        self._before = {}

    def __enter__(self):
        # Python allows only the main thread to handle signals.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        self._is_used = True
        return self.received is not None

    def _receive(self, number, frame):
        if self.received is not None or not self._is_used:
            raise KeyboardInterrupt
        self.received = number


def _page(args):
    from ..video import StreamPage

    page = StreamPage(port=args.port)
    note(f"Open {page.url} in a browser to watch; press Finish there or Ctrl-C here to end.")
    return page


def _bar(frames, *, total, unit):
    # For a camera, which has no end, the bar only counts.
    return progress(frames, total=total, unit=unit, leave=False)


def _print_summary(args, summary):
    """Print the summary, and report which files were written."""
    rows = summary.rows()
    if args.format in (None, "table"):
        # The problem is reported as the command's error.
        emit(str(replace(summary, problem=None)))
    elif rows or args.format == "json":
        emit(render(rows, args.format) if rows else "[]")
    for path in (args.output, args.annotate, args.faces, None if not rows else args.plot):
        if path is not None:
            note(f"Written to {path}")
    if not rows:
        note("No face was found" + ("" if args.plot is None else "; there is nothing to plot"))


VIDEO = Command("video", _VIDEO_HELP, _add_video_options, run)

WEBCAM = Command("webcam", _WEBCAM_HELP, _add_webcam_options, run_webcam)
