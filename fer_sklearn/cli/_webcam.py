"""``fer-sklearn webcam``: the emotions before a camera."""

from ._video import StopSignals, add_recording_options, record

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  fer-sklearn webcam
  fer-sklearn webcam 1
  fer-sklearn webcam rtsp://camera.local/stream --headless --output today.csv
  fer-sklearn webcam --seconds 60 --annotate me.mp4 --plot me.png

Open the address that is printed to watch the annotated frames in your browser;
only this computer can open it. Frames that arrive while one is processed are
dropped, so the display never lags. Press Ctrl-C to stop: all files are
complete, a summary is printed, and the exit code is 0. If the camera is
disconnected, it is 1.
"""


def add_parser(commands):
    """Describe the command."""
    parser = commands.add_parser(
        "webcam",
        help="tell the emotions before a camera",
        description="Tell the emotions before a camera or in a stream, until it is stopped.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "camera",
        metavar="CAMERA",
        nargs="?",
        default="0",
        help="number of a camera, or address of a stream (default: 0, the first camera)",
    )
    add_recording_options(parser, show="browser")
    parser.set_defaults(run=run)
    return parser


def run(args):
    """Watch a camera until it is stopped, which is how it is meant to end."""
    source = int(args.camera) if args.camera.isdecimal() else args.camera
    with StopSignals() as stop:
        record(args, source, live=None, stop=stop)
    return 0
