"""``fer-sklearn webcam``: live emotions from a camera."""

from __future__ import annotations

import argparse
from typing import Any

from ._models import seconds
from ._video import StopSignals, add_video_options, analyze

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  fer-sklearn webcam
  fer-sklearn webcam 1
  fer-sklearn webcam rtsp://camera.local/stream --headless --output today.csv
  fer-sklearn webcam --duration 60 --annotate me.mp4 --plot me.png

Open the address that is printed to watch the annotated frames in your browser;
only this computer can open it. Frames that arrive while one is processed are
dropped, so the display never lags. Press Ctrl-C to stop: all files are
completed and a summary is printed (exit code 0). If the camera goes away and
does not come back, the exit code is 1.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "webcam",
        help="show live emotions from your webcam in the browser",
        description="Recognise emotions in the images of a camera or stream, until you stop it.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "camera",
        metavar="CAMERA",
        nargs="?",
        default="0",
        help="number of a camera, or address of a stream (default: 0, the first camera)",
    )
    add_video_options(parser, show="browser")
    parser.add_argument(
        "--reconnect",
        type=seconds,
        default=60.0,
        metavar="S",
        help="try for S seconds to reconnect to a camera that is lost (default: 60)",
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Watch a camera until it is stopped, which is the normal way to end it."""
    source = int(args.camera) if args.camera.isdecimal() else args.camera
    with StopSignals() as should_stop:
        analyze(
            args,
            source,
            drop_frames=None,
            reconnect_seconds=args.reconnect,
            should_stop=should_stop,
        )
    return 0
