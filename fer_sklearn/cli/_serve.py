"""``fer-sklearn serve``: photos in, rows of faces out, over HTTP."""

from __future__ import annotations

import argparse
import ipaddress
from pathlib import Path
from typing import Any

from ._models import MODEL_HELP, add_labels_option, load_reader, positive_int, positive_seconds
from ._output import CommandError, note

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  fer-sklearn serve
  fer-sklearn serve --model tiny --port 8080
  FER_SKLEARN_TOKEN=... fer-sklearn serve --host 0.0.0.0
  curl http://127.0.0.1:8000/v1/faces --form files=@photo.jpg

Only this computer can reach the service, unless --host says otherwise. If the
environment variable FER_SKLEARN_TOKEN is set, or with --token-file, clients
need to send "Authorization: Bearer TOKEN". The address that is printed, with
/docs, describes what the service takes and answers. Ctrl-C and SIGTERM end it
once the requests that it has begun are answered.
Loading a model file can run arbitrary code: only use files that you trust.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "serve",
        help="answer with the emotions of faces over HTTP",
        description="Serve the emotions of faces in photos over HTTP.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 for all networks (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port", type=_port, default=8000, metavar="N", help="0 picks a free one (default: 8000)"
    )
    parser.add_argument(
        "--model", "-m", metavar="MODEL", default="default", help=f"{MODEL_HELP} (default: default)"
    )
    add_labels_option(parser)
    parser.add_argument(
        "--detector",
        choices=("blazeface", "haar", "yunet"),
        help="face detector (default: that of the model file, or blazeface)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="file with the token that clients need to send, in place of FER_SKLEARN_TOKEN",
    )
    limits = parser.add_argument_group("limits")
    for option, default, what in (
        ("--max-bytes", 32_000_000, "size of the body of a request"),
        ("--max-files", 16, "photos per request"),
        ("--max-pixels", 50_000_000, "pixels of a photo"),
        ("--max-queue", 256, "photos that may wait, of all requests"),
    ):
        limits.add_argument(
            option,
            type=positive_int,
            default=default,
            metavar="N",
            help=f"{what} (default: {default})",
        )
    limits.add_argument(
        "--timeout",
        type=positive_seconds,
        default=30.0,
        metavar="S",
        help="seconds in which a body must arrive, and be answered (default: 30)",
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it, which is the normal way."""
    from ..serve import TOKEN_VARIABLE, create_app, read_token, run_app

    token = None if args.token_file is None else _read(args.token_file)
    names = ("max_bytes", "max_files", "max_pixels", "max_queue", "timeout")
    app = create_app(
        load_reader(args.model, args.labels, detector=args.detector),
        token=token,
        **{name: getattr(args, name) for name in names},
    )

    def report(address):
        note(f"Serving on {address} (see {address}/docs). Press Ctrl-C to stop.")
        if not (_is_loopback(args.host) or read_token(token)):
            note(
                f"fer-sklearn: warning: whoever reaches this address can use it; set "
                f"{TOKEN_VARIABLE} to a secret, or put it behind a server that asks for one"
            )

    try:
        run_app(app, host=args.host, port=args.port, on_start=report)
    except KeyboardInterrupt:  # uvicorn raises it again once all is done
        note("Stopped")
    return 0


def _port(text):
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return number


def _read(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise CommandError(f"--token-file {path} cannot be read: {reason}") from error


def _is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
